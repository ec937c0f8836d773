// Sends COUNT events through the unmodified @snowplow/node-tracker: HOST=... WRITE_KEY=... node snowplow.mjs COUNT
import { buildPageView, buildSelfDescribingEvent, buildStructEvent, newTracker } from '@snowplow/node-tracker'

const count = Number(process.argv[2])
const ecommerce = (name) => `iglu:com.snowplowanalytics.snowplow.ecommerce/${name}/jsonschema/1-0-0`
let delivered = 0
const tracker = newTracker(
  { namespace: 'shop', appId: process.env.WRITE_KEY },
  { endpoint: process.env.HOST, bufferSize: 10, onRequestSuccess: (events) => { delivered += events.length } },
)
tracker.setUserId('cleo')
tracker.setDomainUserId('browser-2')
tracker.track(buildPageView({ pageUrl: 'https://shop.example/', pageTitle: 'Home' }))
tracker.track(buildStructEvent({ category: 'shop', action: 'search' }))
const context = [
  { schema: ecommerce('transaction'), data: { transaction_id: 'A-3', revenue: 54.9, currency: 'EUR' } },
  { schema: ecommerce('product'), data: { id: 'LACE', price: 54.9, quantity: 1, currency: 'EUR' } },
]
tracker.track(
  buildSelfDescribingEvent({
    event: { schema: ecommerce('snowplow_ecommerce_action'), data: { type: 'transaction' } },
  }),
  context,
)
for (let n = 3; n < count; n += 1) {
  tracker.track(buildPageView({ pageUrl: `https://shop.example/${n}`, pageTitle: 'Product' }))
}
// The tracker tries again when it is told to send, not by itself.
const deadline = Date.now() + 60_000
while (delivered < count && Date.now() < deadline) {
  await tracker.flush()
  await new Promise((resolve) => setTimeout(resolve, 200))
}
console.log(JSON.stringify({ delivered }))
process.exit(delivered === count ? 0 : 1)
