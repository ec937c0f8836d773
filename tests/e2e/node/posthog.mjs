// Sends COUNT events through posthog-node to HOST: captures, then an identify, an alias and a group.
import { PostHog } from 'posthog-node'

// It gives a batch up after four tries, nine seconds, unless it is told to go on for longer.
const client = new PostHog(process.env.WRITE_KEY, { host: process.env.HOST, flushAt: 10, fetchRetryCount: 10 })
const count = Number(process.argv[2])
const errors = []
// Between two tries the newer mode (POSTHOG_CAPTURE_MODE=v1) does not keep its process alive; a server has other reasons.
const alive = setInterval(() => {}, 1000)
client.on('error', (error) => errors.push(String(error)))
for (let number = 3; number < count; number += 1) {
  client.capture({ distinctId: 'ada', event: 'Product Viewed', properties: { product_id: `p-${number}` } })
}
client.identify({ distinctId: 'ada', properties: { plan: 'gold', $anon_distinct_id: 'anon-ada' } })
client.alias({ distinctId: 'anon-ben', alias: 'ben' })
client.groupIdentify({ distinctId: 'ada', groupType: 'company', groupKey: 'acme', properties: { size: 3 } })
await client.shutdown(60_000)
clearInterval(alive)
console.log(JSON.stringify(errors))
