/** What the ledger knows of a stored file; its bytes are in the media store, under its id. Times are epoch milliseconds. */
export type MediaRow = {
  id: string
  /** The secret part of its public URL. */
  token: string
  /** Whose it is, as an opaque text. */
  owner: string
  /** The conversation that it was made for, if it was made for one. */
  platform?: string
  platformId?: string
  destination?: string
  /** The only send that uses it, if it came with that send. */
  sendId?: string
  type: string
  contentType: string
  bytes: number
  sha256: string
  name: string
  createdAt: number
  expiresAt: number
}

/** Files of all callers, and the sum of their bytes; rejects like every verb of the store. An expired file is not found. */
export type MediaLedger = {
  /** Records a file, unless all files together would then have more bytes than `maxBytes`; says whether it did. */
  add(row: MediaRow, maxBytes: number): Promise<boolean>
  find(id: string): Promise<MediaRow | undefined>
  findByToken(token: string): Promise<MediaRow | undefined>
  /** Has files live at least until then. */
  keepUntil(ids: readonly string[], until: number): Promise<void>
  /** Has a file belong to its owner, not to the send that it came with; `false` if there is no such file. */
  share(id: string): Promise<boolean>
  /** Deletes the rows of files that only this send uses, and returns their ids. */
  removeOf(sendId: string): Promise<string[]>
  /** Deletes the rows of files; unknown ids do no harm. */
  remove(ids: readonly string[]): Promise<void>
  /** Ids of expired files, a thousand at most; none until the clock has been steady for ten minutes. */
  expired(): Promise<string[]>
  usage(): Promise<{ files: number; bytes: number }>
  /** All rows in order of id, a thousand at most, expired ones included; `after` is the id of the last row of the page before. */
  dump(after?: string): Promise<MediaRow[]>
  /** Takes a row over as it is, unless it is known. */
  load(row: MediaRow): Promise<boolean>
}

/** Every row in order of id. */
export async function* mediaRows({ dump }: Pick<MediaLedger, 'dump'>): AsyncGenerator<MediaRow> {
  for (let page = await dump(); page.length > 0; page = await dump(page.at(-1)?.id)) yield* page
}
