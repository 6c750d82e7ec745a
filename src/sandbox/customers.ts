import { smallTalk } from './seeds.ts'
import { type Address, keyOf, type Sent, type World } from './world.ts'

/** What a customer does unasked; 0 ms means never. */
export type Script = {
  /** How long after a message to them they answer it. */
  replyAfterMs: number
  /** How often they write unasked. */
  writeEveryMs: number
  /** What they say, in turn; `{n}` becomes a number that counts. */
  texts: string[]
  /** How long after a message was sent its status becomes `delivered`, and `read`. */
  deliveredAfterMs: number
  readAfterMs: number
}

const silent: Script = { replyAfterMs: 0, writeEveryMs: 0, texts: ['Message {n}'], deliveredAfterMs: 0, readAfterMs: 0 }

/** A customer who answers within about a second, for a first look at real conversations. */
export const talkative: Partial<Script> = { replyAfterMs: 900, texts: smallTalk, deliveredAfterMs: 300, readAfterMs: 700 }

const everybody = ''

/** The customers of an account: each follows its own script, or else the one for everybody. */
export function createCustomers(world: World, changed: () => void, first: Partial<Script>) {
  const scripts = new Map<string, Script>()
  const writing = new Map<string, NodeJS.Timeout>()
  const timers = new Set<NodeJS.Timeout>()
  let said = 0

  const after = (ms: number, run: () => void) => {
    if (ms <= 0) return
    const timer = setTimeout(() => {
      timers.delete(timer)
      run()
      changed()
    }, ms)
    timers.add(timer.unref())
  }

  const say = (address: Address, { texts }: Script) => {
    const text = texts[said % texts.length] ?? ''
    const { platform, platformid, destination } = address
    world.receive({ platform, platformid, destination, message: text.replaceAll('{n}', String(++said)) })
  }

  const customers = {
    /** Changes the script of one conversation, or that of everybody. */
    script: (change: Partial<Script>, address?: Address) => {
      const name = address ? keyOf(address) : everybody
      const script = { ...(scripts.get(name) ?? scripts.get(everybody) ?? silent), ...change }
      scripts.set(name, script)
      clearInterval(writing.get(name))
      if (script.writeEveryMs <= 0 || change.writeEveryMs === undefined) return
      let turn = 0
      const write = () => {
        const addresses = address ? [address] : world.addresses()
        const next = addresses[turn++ % addresses.length]
        if (next) say(next, script)
        changed()
      }
      writing.set(name, setInterval(write, script.writeEveryMs).unref())
    },

    /** Lets the conversation go on after a message or file. */
    taken: (sent: Sent) => {
      const script = scripts.get(keyOf(sent)) ?? scripts.get(everybody) ?? silent
      if (sent.method === 'sendmessage') after(script.replyAfterMs, () => say(sent, script))
      after(script.deliveredAfterMs, () => world.mark(sent, sent.messageid, 'delivered', 'sent'))
      after(script.readAfterMs, () => world.mark(sent, sent.messageid, 'read'))
    },

    stop: () => {
      for (const timer of timers) clearTimeout(timer)
      for (const timer of writing.values()) clearInterval(timer)
      timers.clear()
      writing.clear()
    },

    reset: () => {
      customers.stop()
      scripts.clear()
      said = 0
      customers.script(first)
    },
  }
  customers.reset()
  return customers
}
