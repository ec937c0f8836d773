// Sends COUNT events with the unmodified cloudevents SDK: HOST=... WRITE_KEY=... node cloudevents.mjs COUNT CUSTOMER
import { CloudEvent, HTTP, Mode, emitterFor } from 'cloudevents'

const count = Number(process.argv[2])
const customer = process.argv[3]
const url = `${process.env.HOST}/v1/cloudevents`
// The SDK makes messages and leaves the sending, and so trying again, to this function.
const send = async ({ headers, body }) => {
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const sent = { ...headers, authorization: `Bearer ${process.env.WRITE_KEY}` }
    const answer = await fetch(url, { method: 'POST', headers: sent, body }).catch(() => undefined)
    if (answer?.ok) return answer.json()
    if (answer && answer.status !== 429 && answer.status < 500) throw new Error(await answer.text())
    const seconds = Number(answer?.headers.get('retry-after')) || 0.2
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }
  throw new Error('not delivered')
}
const binary = emitterFor(send, { mode: Mode.BINARY })
const structured = emitterFor(send, { mode: Mode.STRUCTURED })
const event = (n) =>
  new CloudEvent({
    id: `order-${n}`,
    source: 'https://shop.example/orders',
    type: 'com.example.shop.order.completed',
    subject: customer,
    datacontenttype: 'application/json',
    data: { order_id: `A-${n}`, total: 54.9, currency: 'EUR' },
  })
const events = Array.from({ length: count }, (_, n) => event(n))
const third = Math.floor(count / 3)
for (const one of events.slice(0, third)) await binary(one)
for (const one of events.slice(third, 2 * third)) await structured(one)
// The SDK has no batches of its own; one is a list of structured events.
const batch = events.slice(2 * third).map((one) => JSON.parse(HTTP.structured(one).body))
await send({ headers: { 'content-type': 'application/cloudevents-batch+json' }, body: JSON.stringify(batch) })
