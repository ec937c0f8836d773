// Sends COUNT events through @jitsu/js from a server to HOST: one identify, then tracks.
import { jitsuAnalytics } from '@jitsu/js'

const errors = []
console.error = (message) => errors.push(String(message))
// Jitsu's keys have two halves: the second is anything.
const writeKey = `${process.env.WRITE_KEY}:-`
const analytics = jitsuAnalytics({ host: process.env.HOST, writeKey, s2s: true })
await analytics.identify('ada', { plan: 'gold' })
for (let number = 1; number < Number(process.argv[2]); number += 1) {
  await analytics.track('Product Viewed', { userId: 'ada', product_id: `p-${number}` })
}
console.log(JSON.stringify(errors))
