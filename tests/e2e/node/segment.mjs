// Sends COUNT events through @segment/analytics-node to HOST: one identify, then tracks.
import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: process.env.WRITE_KEY, host: process.env.HOST, flushAt: 20 })
const errors = []
analytics.on('error', (error) => errors.push(`${error.code}: ${error.reason}`))
analytics.identify({ userId: 'ada', anonymousId: 'anon-ada', traits: { plan: 'gold' } })
for (let number = 1; number < Number(process.argv[2]); number += 1) {
  analytics.track({ userId: 'ada', event: 'Product Viewed', properties: { product_id: `p-${number}` } })
}
await analytics.closeAndFlush()
console.log(JSON.stringify(errors))
