// A shop's page with posthog-js. In the query: host, key, count.
import posthog from 'posthog-js'

const query = new URLSearchParams(location.search)
const view = (number) => posthog.capture('Product Viewed', { product_id: `p-${number}` })

posthog.init(query.get('key'), {
  api_host: query.get('host'),
  opt_out_useragent_filter: true, // a browser that is driven by a program is a bot to it
})
view(1)
// The pageview comes by itself, a moment after the library has started.
const stop = posthog.on('eventCaptured', ({ event }) => {
  if (event !== '$pageview') return
  stop()
  posthog.identify('ada', { plan: 'gold' })
  for (let number = 3; number < Number(query.get('count')); number += 1) view(number)
  document.title = 'sent'
})
window.leave = (count) => {
  for (let number = 0; number < count; number += 1) view(`last-${number}`)
}
