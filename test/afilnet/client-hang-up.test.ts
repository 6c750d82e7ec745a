import { connect } from 'node:net'
import { describe, expect } from 'vitest'
import { canaries, hold, type TestGateway, test } from '../gateway.ts'
import { chat } from './calls.ts'

/** One request whose caller can hang up on it. */
function ask({ url }: TestGateway, method: string, path: string, body = '') {
  const { hostname, port } = new URL(url)
  const head = [`${method} ${path} HTTP/1.1`, 'Host: gateway', `Authorization: Bearer ${canaries.key}`, `Content-Length: ${body.length}`]
  const type = body === '' ? [] : ['Content-Type: application/json']
  const socket = connect(Number(port), hostname)
  socket.write(`${[...head, ...type].join('\r\n')}\r\n\r\n${body}`)
  return { hangUp: () => socket.destroy() }
}

const leftBehind = (line: Record<string, unknown>) => line.aborted === true

describe.concurrent('a caller who hangs up', () => {
  test.for(['/channels', '/chats/whatsapp/100', `${chat}/messages`])(
    'on GET %s ends the call to Afilnet',
    async (path, { start, sandbox }) => {
      const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '60000' } })
      sandbox.answer({ fault: 'silent' })
      const { hangUp } = ask(gateway, 'GET', path)
      await sandbox.called(1)

      hangUp()

      await sandbox.until(({ calls: [call] }) => call?.closedByPeer === true)
      await gateway.logged(leftBehind)
      expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
    },
  )

  test.for([
    ['GET', `${chat}/unread`, ''],
    ['POST', `${chat}/messages`, '{"message":"Hello"}'],
    ['POST', `${chat}/files`, '{"type":"image","fileUrl":"https://example.com/menu.jpg"}'],
  ] as const)('on %s %s lets the call to Afilnet run to its end', async ([method, path, body], { gateway, sandbox }) => {
    const release = hold(sandbox)
    const { hangUp } = ask(gateway, method, path, body)
    await sandbox.called(1)

    hangUp()

    await gateway.logged(leftBehind)
    release()
    await sandbox.until(({ calls: [call] }) => call?.answer !== undefined || call?.closedByPeer === true)
    expect(sandbox.calls).toMatchObject([{ closedByPeer: false, answer: { status: 200 } }])
    expect(sandbox.sent).toHaveLength(method === 'POST' ? 1 : 0)
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
  })
})

test('Answers to callers who have left take no room in memory from others', async ({ start, sandbox }) => {
  sandbox.fill({ platform: 'whatsapp', platformid: '100', conversations: 1_000 })
  const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '2097152' } }) // room for 16 MiB
  const row = { messageid: '1', datetime: '2026-01-01 10:00:00', message: 'x'.repeat(2_000_000) }
  const body = JSON.stringify({ status: 'SUCCESS', result: { list: [row] } })
  const release = hold(sandbox, { body, times: 10 })
  const callers = Array.from({ length: 10 }, () => ask(gateway, 'GET', `${chat}/unread`))
  await sandbox.called(10)

  for (const { hangUp } of callers) hangUp()

  await expect.poll(() => gateway.log.filter(leftBehind).length).toBe(10)
  release()
  await expect.poll(async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()).toMatch(/^gateway_calls_in_flight\S* 0$/m)
  expect((await gateway.get('/chats/whatsapp/100')).status).toBe(200)
})
