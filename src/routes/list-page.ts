/** What a page needs to know of a row; the rest of it passes as it is. */
export type PageRow = { datetime: string | null; messageId: string | null }

/**
 * Where a row stands: its datetime, its number among the rows of that datetime, and how many those were.
 *
 * It stays good when the row has gone: what was on either side of the row still is.
 */
export type Position = { datetime: string; id: string | null; index: number; count: number }

/** Part of a list: the newest rows, the newest before a place, or the oldest after it. A text is the `messageId` of a row. */
export type PageOptions = { limit: number; before?: Position | string | undefined; after?: Position | string | undefined }

/** Rows, oldest first, and the places to go on from, where there are newer (`next`) or older ones (`previous`). */
type Page<R> = { items: R[]; next?: Position; previous?: Position }

/** A place between rows belongs to no row, so that none is missing there. */
const noRow = Number.MAX_SAFE_INTEGER

/** Cuts a page out of a list; `undefined` if the list has no row with the `messageId` that was given. */
export function cutPage<R extends PageRow>(list: readonly R[], { limit, before, after }: PageOptions): Page<R> | undefined {
  const rows = oldestFirst(list)
  let [from, to] = [Math.max(0, rows.length - limit), rows.length]
  if (before !== undefined) {
    to = placeOf(rows, before)[0]
    if (to < 0) return undefined
    from = Math.max(0, to - limit)
  } else if (after !== undefined) {
    from = placeOf(rows, after)[1]
    if (from < 0) return undefined
    to = Math.min(rows.length, from + limit)
  }
  return {
    items: rows.slice(from, to),
    ...(to < rows.length && { next: from < to ? positionOf(rows, to - 1) : gapBefore(rows, to) }),
    ...(from > 0 && { previous: from < to ? positionOf(rows, from) : gapAfter(rows, from - 1) }),
  }
}

/** By datetime; rows of one datetime as Afilnet lists them, turned round if it lists the newest first. */
function oldestFirst<R extends PageRow>(list: readonly R[]): R[] {
  const rows = isNewestFirst(list) ? list.toReversed() : [...list]
  return rows.sort((a, b) => compare(timeOf(a), timeOf(b)))
}

function isNewestFirst(list: readonly PageRow[]) {
  let rises = 0
  for (let i = 1; i < list.length; i++) {
    const [before, after] = [timeOf(list[i - 1]), timeOf(list[i])]
    if (before !== '' && after !== '') rises += compare(after, before)
  }
  if (rises !== 0) return rises < 0
  const [first, last] = [list[0]?.messageId ?? '', list.at(-1)?.messageId ?? ''] // numbers, if Afilnet counts its messages
  return /^\d+$/.test(first) && /^\d+$/.test(last) && (first.length - last.length || compare(first, last)) > 0
}

const timeOf = (row: PageRow | undefined) => row?.datetime ?? ''
const compare = (a: string, b: string) => (a === b ? 0 : a < b ? -1 : 1)

/** Where the rows before a place end, and where those after it begin; -1 if no row has that `messageId`. */
function placeOf(rows: readonly PageRow[], place: Position | string): [before: number, after: number] {
  if (typeof place === 'string') {
    const last = rows.findLastIndex(({ messageId }) => messageId === place)
    return [rows.findIndex(({ messageId }) => messageId === place), last < 0 ? -1 : last + 1]
  }
  const { datetime, id, index, count } = place
  const [first, equals] = rowsAt(rows, datetime)
  const same = (row: PageRow | undefined) => row !== undefined && row.messageId === id
  const found = id === null ? -1 : same(equals[index]) ? index : equals.findIndex(same)
  if (found >= 0) return [first + found, first + found + 1]
  const at = first + Math.min(index, equals.length)
  const isThere = id === null && equals.length >= count
  return [at, isThere ? at + 1 : at]
}

/** The rows of one datetime, and the index of the first of them, or of the first later row. */
function rowsAt(rows: readonly PageRow[], datetime: string): [first: number, rows: readonly PageRow[]] {
  const first = rows.findIndex(row => timeOf(row) >= datetime)
  if (first < 0) return [rows.length, []]
  const end = rows.findIndex(row => timeOf(row) > datetime)
  return [first, rows.slice(first, end < 0 ? rows.length : end)]
}

function positionOf(rows: readonly PageRow[], at: number): Position {
  const datetime = timeOf(rows[at])
  const [first, equals] = rowsAt(rows, datetime)
  return { datetime, id: rows[at]?.messageId ?? null, index: at - first, count: equals.length }
}

const gapBefore = (rows: readonly PageRow[], at: number): Position => ({ ...positionOf(rows, at), id: null, count: noRow })

function gapAfter(rows: readonly PageRow[], at: number): Position {
  const { datetime, index } = positionOf(rows, at)
  return { datetime, id: null, index: index + 1, count: noRow }
}
