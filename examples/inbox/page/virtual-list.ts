type Options<Item> = {
  keyOf: (item: Item) => string
  /** Two items of one key and one look share their element, so that a click, a selection or the focus survives a change elsewhere. */
  lookOf: (item: Item) => string
  render: (item: Item) => HTMLElement
  estimate: number
  /** The list begins at its end, as messages do. */
  fromEnd?: boolean
  onTop?: () => void
}

const margin = 400

/** A list of any length with only what is visible in the document. Items may differ in height; unseen ones count with an estimate. */
export function createVirtualList<Item>(scroller: HTMLElement, options: Options<Item>) {
  const { keyOf, lookOf, render, estimate, fromEnd = false, onTop } = options
  const sheet = document.createElement('div')
  sheet.setAttribute('role', 'presentation')
  sheet.className = 'sheet'
  scroller.replaceChildren(sheet)
  const heights = new Map<string, number>()
  let drawn = new Map<string, { look: string; element: HTMLElement }>()
  let items: readonly Item[] = []
  let tops: number[] = [0]
  let atEnd = fromEnd
  let { clientWidth: width, clientHeight: height } = scroller

  const heightOf = (item: Item | undefined) => (item && heights.get(keyOf(item))) ?? estimate
  function place() {
    tops = [0]
    for (const item of items) tops.push((tops.at(-1) ?? 0) + heightOf(item))
  }
  /** The item at a height, by halving. */
  function indexAt(y: number) {
    let [low, high] = [0, items.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((tops[middle + 1] ?? 0) <= y) low = middle + 1
      else high = middle
    }
    return low
  }

  function draw() {
    const { scrollTop, clientHeight } = scroller
    const first = indexAt(scrollTop - margin)
    const end = Math.min(indexAt(scrollTop + clientHeight + margin) + 1, items.length)
    sheet.style.height = `${tops.at(-1)}px`
    const before = drawn
    drawn = new Map()
    const elements = items.slice(first, end).map((item, offset) => {
      const [key, look] = [keyOf(item), lookOf(item)]
      const known = before.get(key)
      const { element } = known?.look === look && !drawn.has(key) ? known : { element: render(item) }
      drawn.set(key, { look, element })
      element.setAttribute('aria-setsize', String(items.length))
      element.setAttribute('aria-posinset', String(first + offset + 1))
      element.style.transform = `translateY(${tops[first + offset]}px)`
      return element
    })
    exchange(elements)
    if (!measure(first, elements)) return
    const reading = indexAt(scrollTop)
    const into = scrollTop - (tops[reading] ?? 0)
    place()
    if (!atEnd) scroller.scrollTop = (tops[reading] ?? 0) + into
    draw()
    if (atEnd) toEnd()
  }

  /** Leaves elements that stay where they are. */
  function exchange(elements: HTMLElement[]) {
    const staying = new Set<Element>(elements)
    const leaving = [...sheet.children].filter(child => !staying.has(child))
    if (leaving.some(child => child.contains(document.activeElement))) scroller.focus({ preventScroll: true }) // else the keyboard is nowhere
    for (const child of leaving) child.remove()
    for (const [index, element] of elements.entries())
      if (sheet.children[index] !== element) sheet.insertBefore(element, sheet.children[index] ?? null)
  }

  /** Whether any height is another than was known. */
  function measure(first: number, elements: HTMLElement[]) {
    let changed = false
    for (const [offset, element] of elements.entries()) {
      const item = items[first + offset]
      const height = element.offsetHeight
      if (!item || height === 0 || heights.get(keyOf(item)) === height) continue
      heights.set(keyOf(item), height)
      changed = true
    }
    return changed
  }

  function toEnd() {
    atEnd = true
    scroller.scrollTop = scroller.scrollHeight
  }

  /** Draws what `change` made of the items or their heights. */
  function redraw(change: () => void) {
    const reading = items[indexAt(scroller.scrollTop)]
    const into = scroller.scrollTop - (tops[indexAt(scroller.scrollTop)] ?? 0)
    change()
    place()
    const index = reading && !atEnd && fromEnd ? items.findIndex(item => keyOf(item) === keyOf(reading)) : -1
    sheet.style.height = `${tops.at(-1)}px`
    if (index >= 0) scroller.scrollTop = (tops[index] ?? 0) + into
    draw()
    if (atEnd) toEnd()
  }

  scroller.addEventListener('scroll', () => {
    // One that comes with a new height, as a line above appears, is no wish to leave the end.
    if (scroller.clientHeight === height) atEnd = fromEnd && scroller.scrollTop + height >= scroller.scrollHeight - 20
    draw()
    if (scroller.scrollTop < margin) onTop?.()
  })
  new ResizeObserver(() => {
    redraw(() => {
      if (scroller.clientWidth !== width) heights.clear() // texts break elsewhere
      width = scroller.clientWidth
      height = scroller.clientHeight
    })
  }).observe(scroller)

  return {
    /** Shows these items. At its end, the list stays there; elsewhere, what is read keeps its place. */
    show(next: readonly Item[]) {
      redraw(() => {
        items = next
      })
    },
    scrollTo(index: number) {
      const [top = 0, bottom = 0] = [tops[index], tops[index + 1]]
      if (top < scroller.scrollTop) scroller.scrollTop = top
      else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight
      draw()
    },
    toEnd() {
      toEnd()
      draw()
    },
  }
}
