import { type Advice, adviceFor } from '../../store/advice.ts'
import { openStore, type StoreOptions } from '../../store/open.ts'
import { isNew, peek } from '../../store/sqlite/schema.ts'
import { type Archive, type SendRow, type Store, StoreUnavailableError, StoreUrlError, StoreVersionError } from '../../store/store.ts'
import { readStoreUrl } from '../../store/url.ts'
import { peekValkey } from '../../store/valkey/valkey.ts'

/** A ledger that can say of an error which one it is about. */
export type Ledger = Store & Archive & { blame: (error: unknown) => never }

/** Resolves once whoever reads is ready for more. */
export type Print = (text: string) => Promise<void>

/** Why a command cannot go on, in words that hold no secret and no number. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/** `create` lets a ledger begin here, `migrate` lets one of an older release be brought up to date: no gateway may run with it then. */
export type Opening = StoreOptions & { create?: boolean; migrate?: boolean }

/** Opens the ledger that a URL names, under the name that errors call it by, and refuses one that is not there, which is more often a wrong path than a new beginning. */
export async function openLedger(name: string, url: string, opening: Opening): Promise<Ledger> {
  const blame = blaming(name, adviceFor(url))
  return Object.assign(await open(url, opening).catch(blame), { blame })
}

async function open(url: string, { create = false, migrate = false, ...options }: Opening): Promise<Store & Archive> {
  const place = readStoreUrl(url)
  if (place?.kind === 'server' && !create) {
    const found = await peekValkey(place)
    if (typeof found === 'object' && found.schema === undefined) throw new CommandError('there is no ledger at this place')
  }
  const path = place?.kind === 'sqlite' ? place.path : undefined
  if (path === ':memory:') throw new CommandError('a ledger in memory is that of its process, and nobody else can look into it', 78)
  if (path !== undefined && !create && isNew(path)) throw new CommandError('there is no ledger at this place')
  if (path !== undefined && !migrate && isOlder(path))
    throw new CommandError('it is of an older release; the gateway of this one brings it up to date when it starts')
  return openStore(url, options)
}

function isOlder(path: string) {
  try {
    const { found, known } = peek(path)
    return found > 0 && found < known
  } catch {
    return false // opening it will say what ails it
  }
}

/** Every row in order of id, page by page. */
export async function* pagesOf(dump: Archive['dump']): AsyncGenerator<SendRow[]> {
  for (let page = await dump(); page.length > 0; page = await dump(page.at(-1)?.id)) yield page
}

/** What went wrong, as an operator may read it. */
export function wordsFor(error: unknown, advice?: Advice): string {
  if (error instanceof CommandError) return error.message
  if (error instanceof StoreUrlError) return error.message.toLowerCase()
  if (error instanceof StoreUnavailableError && advice) {
    const [detail, todo] = advice[error.cause]
    return `${error instanceof StoreVersionError ? error.message : detail}. ${todo}`
  }
  return `a fault of the command itself (${error instanceof Error ? error.name : typeof error})` // its message may hold anything
}

/** 78 where the URL is to blame. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode
  return error instanceof StoreUrlError ? 78 : 1
}

const blaming = (name: string, advice: Advice) => (error: unknown) => {
  throw new CommandError(`${name}: ${wordsFor(error, advice)}`, exitCodeOf(error))
}
