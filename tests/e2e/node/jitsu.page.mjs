// A shop's page with @jitsu/js. In the query: host, key, count.
import { jitsuAnalytics } from '@jitsu/js'

const query = new URLSearchParams(location.search)
const analytics = jitsuAnalytics({ host: `http://${query.get('host')}`, writeKey: `${query.get('key')}:-` })
const view = (number) => analytics.track('Product Viewed', { product_id: `p-${number}` })

window.shop = (async () => {
  await analytics.page({ name: 'Home' })
  await analytics.identify('ada', { plan: 'gold' })
  for (let number = 2; number < Number(query.get('count')); number += 1) await view(number)
})()
window.leave = (count) => {
  for (let number = 0; number < count; number += 1) view(`last-${number}`)
}
