import { createCustomers, type Script } from './customers.ts'
import { plainShape } from './response-format.ts'
import { World } from './world.ts'

export type Account = ReturnType<typeof createAccount>

/** One account of Afilnet: its world, its customers, and how its answers look. */
export function createAccount(user: string, now: () => number, changed: () => void, script: Partial<Script> = {}) {
  const world = new World(
    now,
    sent => customers.taken(sent),
    () => account.shape.lateMs,
  )
  const customers = createCustomers(world, changed, script)
  const account = {
    user,
    world,
    customers,
    shape: plainShape,

    reset: () => {
      account.shape = plainShape
      world.reset()
      customers.reset()
    },
  }
  return account
}
