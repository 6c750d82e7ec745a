import { expect } from 'vitest'
import { test } from '../gateway.ts'
import { hello, say } from '../routes/sending.ts'

const key = 'fake-shop-key-0123456789'
const waiting = { prefer: 'respond-async' }

test('The queued sends of an account do not wait for those of another one that Afilnet never answers', async ({ start, sandbox }) => {
  const env = { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64'), AFILNET_TIMEOUT_MS: '20000' }
  const gateway = await start({ env, accounts: { shop: {} }, callers: { shop: { key, account: 'shop' } } })
  const silent = Array.from({ length: 100 }, (_, n) => `34600000${100 + n}`)
  for (const destination of silent) sandbox.answer({ destination, fault: 'silent' })
  for (const destination of silent) await say(gateway, waiting, hello, `/chats/whatsapp/100/${destination}`)
  await sandbox.called(64)
  for (const destination of ['34600000001', '34600000002']) {
    const headers = { 'content-type': 'application/json', ...waiting }
    await gateway.request(`/chats/whatsapp/100/${destination}/messages`, { method: 'POST', key, headers, body: JSON.stringify(hello) })
  }

  await sandbox.until(({ calls }) => calls.filter(({ answer }) => answer !== undefined).length === 2)
  expect(sandbox.calls).toHaveLength(66)
  await sandbox.close() // ends the calls that are open
})

test('An attempt of a queued send whose code the operator must look into has a line of its own in the log', async ({ start }) => {
  const gateway = await start({ env: { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') } })
  for (const code of ['MISSING_METHOD', 'NOT_ACCESS_TO_TEMPLATE']) await say(gateway, waiting, hello, `/chats/whatsapp/100/${code}`)

  const found = () => gateway.log.filter(({ msg }) => msg === 'Afilnet answered with a code that must be looked into')
  await expect
    .poll(() =>
      found()
        .map(({ code, upstreamCode }) => `${code} ${upstreamCode}`)
        .sort(),
    )
    .toEqual(['upstream-contract-mismatch MISSING_METHOD', 'upstream-unknown-error NOT_ACCESS_TO_TEMPLATE'])
})
