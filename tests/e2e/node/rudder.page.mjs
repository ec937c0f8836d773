// A shop's page with @rudderstack/analytics-js. In the query: host, key, count, and `beacon` for sendBeacon.
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'

const query = new URLSearchParams(location.search)
const address = `http://${query.get('host')}`
const analytics = new RudderAnalytics()
const view = (number) => analytics.track('Product Viewed', { product_id: `p-${number}` })

analytics.load(query.get('key'), address, {
  configUrl: address,
  useBeacon: query.has('beacon'),
  beaconQueueOptions: { flushQueueInterval: 500 },
  queueOptions: query.has('batching') ? { batch: { enabled: true, maxItems: 10, flushInterval: 500 } } : undefined,
})
window.shop = new Promise((resolve) => analytics.ready(resolve))
analytics.page('Home')
analytics.identify('ada', { plan: 'gold' })
for (let number = 2; number < Number(query.get('count')); number += 1) view(number)
window.leave = (count) => {
  for (let number = 0; number < count; number += 1) view(`last-${number}`)
}
