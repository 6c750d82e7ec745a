import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { namesIn } from '../../media/forms.ts'
import { policy } from '../../store/sends.ts'
import { test } from './doctor.ts'

/** What the report says of the media store. */
const ofMedia = ({ checks }: { checks: readonly { section: string }[] }) => checks.filter(({ section }) => section === 'media')

describe('files', () => {
  test('that Afilnet could not fetch are reported first', async ({ examine, doctor }) => {
    const env = { AFILNET_URL: 'http://sandbox:9/api/http/', AFILNET_TIMEOUT_MS: '500' }
    const { checks } = await examine({ env })
    const { out } = await doctor({ env })

    expect(checks[0]).toMatchObject({ check: 'media-not-public', verdict: 'warning', todo: expect.stringContaining('MEDIA_URL') })
    expect(out.split('\n')[1]).toContain('media-not-public')
    expect((await examine()).checks[0]?.section).toBe('configuration')
  })

  test('are fetched through MEDIA_URL, and nothing of the probe is left', async ({ examine, start, dir }) => {
    const env = { STORE_URL: `sqlite:${join(dir, 'ledger.sqlite')}`, MEDIA_STORE: `file:${join(dir, 'media')}` }
    const gateway = await start({ env })
    const report = await examine({ env: { ...env, MEDIA_URL: gateway.url } })
    const elsewhere = await examine({ env: { ...env, MEDIA_URL: `${gateway.url}/elsewhere` } })
    const otherStore = await examine({ env: { ...env, MEDIA_URL: gateway.url, MEDIA_STORE: `file:${join(dir, 'other', 'media')}` } })
    await gateway.drain()
    const ended = await examine({ env: { ...env, MEDIA_URL: gateway.url } })

    expect(report.wrong).toEqual([])
    expect(ofMedia(report)).toMatchObject([{ check: 'probe file', verdict: 'ok' }])
    expect(ofMedia(elsewhere)).toMatchObject([{ verdict: 'broken', detail: expect.stringContaining('answers 404') }])
    expect(ofMedia(otherStore)).toMatchObject([{ verdict: 'broken', detail: expect.stringContaining('answers 404') }])
    expect(ofMedia(ended)).toMatchObject([{ verdict: 'warning', detail: expect.stringContaining('ECONNREFUSED') }])
    expect([existsSync(join(dir, 'other')), namesIn(join(dir, 'media'))]).toEqual([false, []])
    const store = await openStore(env.STORE_URL, policy)
    expect(await store.media.usage()).toEqual({ files: 0, bytes: 0 })
    await store.close()
  })

  test('from another server, or in a store that does not work, are found out', async ({ examine, start, dir }) => {
    const env = { STORE_URL: `sqlite:${join(dir, 'ledger.sqlite')}`, MEDIA_STORE: `file:${join(dir, 'media')}` }
    await (await start({ env })).drain()
    const server = createServer(({ url }, reply) =>
      reply.writeHead(url?.startsWith('/moved') ? 302 : 200, { location: '/' }).end('<html>'),
    ).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const MEDIA_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const other = await examine({ env: { ...env, MEDIA_URL } })
    const moved = await examine({ env: { ...env, MEDIA_URL: `${MEDIA_URL}/moved` } })
    mkdirSync(join(dir, 'in'))
    writeFileSync(join(dir, 'in', 'file'), '')
    const noFolder = await examine({ env: { ...env, MEDIA_URL, MEDIA_STORE: `file:${join(dir, 'in', 'file', 'x')}` } })

    expect(ofMedia(other)).toMatchObject([{ verdict: 'broken', detail: expect.stringContaining('answers 200 with other bytes') }])
    expect(ofMedia(moved)).toMatchObject([{ verdict: 'broken', detail: expect.stringContaining('answers 302 for') }])
    expect(ofMedia(noFolder)).toMatchObject([{ verdict: 'broken', detail: 'The media store is out of order (ENOTDIR)' }])
  })
})
