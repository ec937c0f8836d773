// A shop's page with @segment/analytics-next. In the query: host, key, count, and `batching` for batches.
import { AnalyticsBrowser } from '@segment/analytics-next'

const query = new URLSearchParams(location.search)
const host = query.get('host')
const deliveryStrategy = query.has('batching')
  ? { strategy: 'batching', config: { size: 10, timeout: 500 } }
  : undefined

const analytics = AnalyticsBrowser.load(
  { writeKey: query.get('key'), cdnURL: `http://${host}` },
  { integrations: { 'Segment.io': { apiHost: `${host}/v1`, protocol: 'http', deliveryStrategy } } },
)
const view = (number) => analytics.track('Product Viewed', { product_id: `p-${number}` })

window.shop = (async () => {
  analytics.page('Home')
  await analytics.identify('ada', { plan: 'gold' })
  for (let number = 2; number < Number(query.get('count')); number += 1) view(number)
})()
window.leave = (count) => {
  for (let number = 0; number < count; number += 1) view(`last-${number}`)
}
