/** What of a row decides its place. */
type Dated = { id: string | null; datetime: string | null }

/** A row and its places in Afilnet's list; several where Afilnet listed it more than once. */
type Placed<R> = { row: R; places: number[] }

/** The rows of a list in the order of the conversation; `isDescending` is absent where the list does not show its direction. */
export type Ordered<R> = { rows: Placed<R>[]; isDescending: boolean | undefined }

/**
 * Orders a list by datetime; equal datetimes keep the order of the list, turned so that datetimes rise.
 *
 * A row without a datetime stays behind the row before it. Of a row that is listed more than once, the last one counts.
 */
export function order<R extends Dated>(list: readonly R[], isUsuallyDescending = false): Ordered<R> {
  const isDescending = directionOf(list)
  const placed: Placed<R>[] = []
  const byId = new Map<string, Placed<R>>()
  const turned = (isDescending ?? isUsuallyDescending) ? 1 : 0
  for (let i = 0; i < list.length; i++) {
    const place = turned ? list.length - 1 - i : i
    const row = list[place] as R // within the list
    const same = row.id === null ? undefined : byId.get(row.id)
    if (same) {
      same.row = row
      same.places.push(place)
      continue
    }
    const one = { row, places: [place] }
    if (row.id !== null) byId.set(row.id, one)
    placed.push(one)
  }
  return { rows: sort(placed), isDescending }
}

/** Most lists are sorted already. */
function sort<R extends Dated>(placed: Placed<R>[]): Placed<R>[] {
  let last = ''
  let isSorted = true
  const dated = placed.map(one => {
    const datetime = one.row.datetime ?? last
    if (datetime < last) isSorted = false
    last = datetime
    return { one, datetime }
  })
  if (isSorted) return placed
  return dated.sort((a, b) => (a.datetime < b.datetime ? -1 : a.datetime > b.datetime ? 1 : 0)).map(({ one }) => one)
}

/** The direction of most neighbours: a few rows may stand where they do not belong. */
function directionOf(list: readonly Dated[]): boolean | undefined {
  let rises = 0
  let last: string | undefined
  for (const { datetime } of list) {
    if (datetime === null) continue
    if (last !== undefined && datetime !== last) rises += datetime > last ? 1 : -1
    last = datetime
  }
  return rises === 0 ? undefined : rises < 0
}
