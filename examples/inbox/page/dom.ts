/** The element of the page with this id. */
export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const element = document.getElementById(id)
  if (!element) throw new Error(`The page has no element ${id}`)
  return element as Type // index.html and this code belong together
}

/** A new element with properties and children. Texts become text, never markup. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Partial<HTMLElementTagNameMap[Name]> = {},
  ...children: (Node | string | undefined)[]
): HTMLElementTagNameMap[Name] {
  const element = Object.assign(document.createElement(name), properties)
  element.append(...children.filter(child => child !== undefined))
  return element
}

/** Whether a key is part of composing a word, as in Japanese. Safari ends the composition before it tells of the Enter that did so: its code is 229 then. */
export const isComposing = (event: KeyboardEvent) => event.isComposing || event.keyCode === 229
