import { Term } from '../../src/live/term.ts'

// The gateway, which kills itself before or after it appends the event of an outgoing message: KILL_AT says which.
const { append } = Term.prototype
Term.prototype.append = async function (states, events) {
  const isDue = events.some(({ type, direction }) => type === 'message.created' && direction === 'out')
  const kill = (at: string) => isDue && process.env.KILL_AT === at && process.kill(process.pid, 'SIGKILL')
  kill('before')
  const isAppended = await append.call(this, states, events)
  kill('after')
  return isAppended
}
await import('../../src/main.ts')
