// Sends COUNT events through @rudderstack/rudder-sdk-node to HOST: one identify, then tracks.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

// It tries a batch four times within two seconds unless it is told to go on for longer.
const analytics = new RudderAnalytics(process.env.WRITE_KEY, {
  dataPlaneUrl: process.env.HOST,
  retryCount: 20,
})
const count = Number(process.argv[2])
let done = 0
const errors = []
const told = (error) => {
  done += 1
  if (error) errors.push(String(error))
}
analytics.identify({ userId: 'ada', anonymousId: 'anon-ada', traits: { plan: 'gold' } }, told)
for (let number = 1; number < count; number += 1) {
  analytics.track({ userId: 'ada', event: 'Product Viewed', properties: { product_id: `p-${number}` } }, told)
}
// One flush sends one batch. The pause lets the callbacks have their turn.
while (done < count) {
  await analytics.flush()
  await new Promise((resolve) => setTimeout(resolve, 10))
}
console.log(JSON.stringify(errors))
