// Sends `count` events through the unmodified @segment/analytics-node: node send.mjs HOST WRITE_KEY COUNT
// One identify, one page, then tracks, of customers node-1 .. node-5 in turn. Prints one line of JSON.
import { Analytics } from '@segment/analytics-node'

const [host, writeKey, countText] = process.argv.slice(2)
const count = Number(countText)
if (!host || !writeKey || !Number.isInteger(count) || count < 1) {
  console.error('usage: node send.mjs HOST WRITE_KEY COUNT')
  process.exit(2)
}

const analytics = new Analytics({ writeKey, host, flushAt: 10, maxRetries: 3 })
const errors = []
let requests = 0
let delivered = 0
analytics.on('http_request', () => { requests += 1 })
analytics.on('error', (error) => errors.push({ code: error.code, reason: String(error.reason ?? '') }))

const called = (failure) => { if (!failure) delivered += 1 }
for (let n = 0; n < count; n += 1) {
  const common = { userId: `node-${(n % 5) + 1}`, messageId: `node-message-${String(n).padStart(6, '0')}` }
  if (n === 0) analytics.identify({ ...common, traits: { plan: 'free' } }, called)
  else if (n === 1) analytics.page({ ...common, name: 'Home', properties: { path: '/' } }, called)
  else analytics.track({ ...common, event: 'Product Viewed', properties: { product_id: `p-${n}`, price: 9.5 } }, called)
}

await analytics.closeAndFlush({ timeout: 20_000 })
console.log(JSON.stringify({ count, requests, delivered, errors }))
process.exit(errors.length === 0 && delivered === count ? 0 : 1)
