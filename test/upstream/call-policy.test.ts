import { expect, test } from 'vitest'
import { failures, faults, UpstreamError } from '../../src/afilnet/faults.ts'
import { getChats } from '../../src/afilnet/operations.ts'
import { CallPolicy } from '../../src/upstream/call-policy.ts'

test('An answer whose code an operator must look into is reported, also where HTTP has named another fault', () => {
  const reported: unknown[] = []
  const observe = (event: string, details: unknown) => void (event === 'codeUnexpected' && reported.push(details))
  const policy = new CallPolicy({ account: 'main', timeoutMs: 1_000, observe })
  const answers = [
    [failures.serverError, 'NEW_CODE'],
    [failures.unknownError, undefined],
    [failures.serverError, undefined],
    [faults.CHAT_NOT_FOUND, 'CHAT_NOT_FOUND'],
  ] as const
  for (const [fault, upstreamCode] of answers)
    policy.observeAttempt(getChats, 1, new UpstreamError(fault, { safe: true, ...(upstreamCode && { upstreamCode }) }))

  expect(reported).toMatchObject([{ code: 'upstream-error', upstreamCode: 'NEW_CODE' }, { code: 'upstream-unknown-error' }])
})
