// A page that sends ?count= events through the unmodified @snowplow/browser-tracker to ?host=, one more when it closes.
import {
  flushBuffer,
  newTracker,
  setUserId,
  trackPageView,
  trackSelfDescribingEvent,
  trackStructEvent,
} from '@snowplow/browser-tracker'

const asked = new URLSearchParams(location.search)
const count = Number(asked.get('count'))
const ecommerce = (name) => `iglu:com.snowplowanalytics.snowplow.ecommerce/${name}/jsonschema/1-0-0`
let delivered = 0
newTracker('shop', asked.get('host'), {
  appId: asked.get('key'),
  contexts: { session: true, webPage: true },
  bufferSize: 5,
  keepalive: true,
  onRequestSuccess: (events) => {
    delivered += events.length
    if (delivered === count) document.title = 'delivered'
  },
})
trackPageView({ title: 'Home' })
setUserId('dora')
trackSelfDescribingEvent({
  event: { schema: ecommerce('snowplow_ecommerce_action'), data: { type: 'transaction' } },
  context: [
    { schema: ecommerce('transaction'), data: { transaction_id: 'A-4', revenue: 99, currency: 'EUR' } },
    { schema: ecommerce('product'), data: { id: 'BOOT-MID', price: 99, quantity: 1, currency: 'EUR' } },
  ],
})
for (let n = 2; n < count; n += 1) trackStructEvent({ category: 'shop', action: 'search', label: `boots ${n}` })
// The tracker tries again when it is told to send or has another event, not by itself.
setInterval(() => flushBuffer({}), 500)
addEventListener('pagehide', () => {
  trackStructEvent({ category: 'shop', action: 'left' })
  flushBuffer({})
})
