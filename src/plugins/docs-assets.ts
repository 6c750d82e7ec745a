/** What the page says about itself before anything else: telephones show it at their own width. */
export const viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'

/** Lets long words and tables fit a telephone, and gives Swagger UI's colours enough contrast. There is one server, so nothing to choose. */
export const style = `.swagger-ui .markdown code, .swagger-ui .renderedMarkdown code, .swagger-ui a { overflow-wrap: anywhere; white-space: pre-wrap }
.swagger-ui .info { margin: 24px 0 }
.swagger-ui .servers-title, .swagger-ui .servers { display: none }
.swagger-ui summary { cursor: pointer }
.swagger-ui .keep-key { display: block; padding: 0 0 16px; font-family: sans-serif }
.swagger-ui .keep-key input { margin: 0 8px 0 0 }
.swagger-ui .unseen { position: absolute; clip-path: inset(50%) }
@media (max-width: 640px) { .swagger-ui table { display: block; position: relative; overflow-x: auto } .swagger-ui .try-out { flex-wrap: wrap; gap: 8px } }
html.dark-mode .swagger-ui :is(.renderedMarkdown td, .header-col) { color: #e4e6e6 }
html.dark-mode .swagger-ui .opblock .opblock-section-header .try-out__btn.cancel { color: #ff8080; border-color: #ff8080 }
html:not(.dark-mode) .swagger-ui :is(.info a, .markdown a, .link) { color: #0a5fb4 }
html:not(.dark-mode) .swagger-ui .info .title small { background: #5a6169 }
html:not(.dark-mode) .swagger-ui .info .title small.version-stamp { background: #4a6b00 }
html:not(.dark-mode) .swagger-ui .btn.authorize { color: #17734a; border-color: #17734a }
html:not(.dark-mode) .swagger-ui .btn.authorize svg { fill: #17734a }
html:not(.dark-mode) .swagger-ui .btn.execute { background: #1b6fc2; border-color: #1b6fc2 }
html:not(.dark-mode) .swagger-ui .parameter__in { color: #5a6169 }
html:not(.dark-mode) .swagger-ui .download-contents { background: #5a6169 }
html:not(.dark-mode) .swagger-ui .btn.cancel { color: #b3261e; border-color: #b3261e }
html:not(.dark-mode) .swagger-ui .opblock-get .opblock-summary-method { background: #1b6fc2 }
html:not(.dark-mode) .swagger-ui .opblock-post .opblock-summary-method { background: #1d7f4f }
html:not(.dark-mode) .swagger-ui .opblock-delete .opblock-summary-method { background: #b3261e }
html:not(.dark-mode) .swagger-ui [class*=json-schema-2020-12] { color: #3b4151 }
html:not(.dark-mode) .swagger-ui .json-schema-2020-12__constraint { color: #fff; background: #5a3aa8 }`

/**
 * Runs in the browser: Swagger UI in the colours that the person prefers, and a key that survives a reload if the person chooses that.
 *
 * Swagger UI keeps the authorization in the browser's storage or not at all; the plugin lets it write there only while the box is ticked.
 * It calls it `authorized`, as every Swagger UI of the origin does.
 * It shows an answer when that has ended, which a stream of events never does; the plugin ends it after what came in five seconds.
 * It also puts a link into each button that opens an operation, which screen readers cannot reach: the plugin leaves the text. It names neither the
 * field of the body nor the lists of examples: the plugin does.
 */
export const script = `(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)')
  const paint = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
  dark.addEventListener('change', paint)
  paint()

  const storage = (() => {
    try { return localStorage } catch {} // where the person lets no site keep anything
  })()
  const isKept = () => storage.getItem('keep-key') === 'yes'
  const keep = (kept, { authActions }) => {
    if (kept) storage.setItem('keep-key', 'yes')
    else for (const own of ['keep-key', 'authorized']) storage.removeItem(own)
    if (kept) authActions.persistAuthorizationIfNeeded()
  }
  const KeepKey = ({ React: { createElement: make } }) => ({
    statePlugins: { auth: { wrapActions: { persistAuthorizationIfNeeded: persist => () => storage && isKept() && persist() } } },
    wrapComponents: {
      DeepLink: () => ({ text }) => make('span', null, text),
      TextArea: TextArea => props => make(TextArea, { 'aria-label': 'Request body', ...props }),
      ExamplesSelect: Select => props => make('label', null, make('span', { className: 'unseen' }, 'Example'), make(Select, props)),
      auths: (Auths, system) => props => make('div', null, make(Auths, props), storage && make('label', { className: 'keep-key' },
        make('input', { type: 'checkbox', defaultChecked: isKept(), onChange: ({ target }) => keep(target.checked, system) }),
        'Keep the key in this browser')),
    },
  })
  const glimpse = async (url, request) => {
    const answer = await fetch(url, request)
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    setTimeout(() => reader.cancel(), 5000)
    let text = ''
    for (let part; !(part = await reader.read()).done; ) text += part.value
    return new Response(text, answer)
  }
  const requestInterceptor = request => (/event-stream/.test(request.headers?.accept) ? { ...request, userFetch: glimpse } : request)
  const { SwaggerUIBundle } = window
  window.SwaggerUIBundle = Object.assign(
    config => SwaggerUIBundle({ ...config, persistAuthorization: Boolean(storage), plugins: [...config.plugins, KeepKey], requestInterceptor }),
    SwaggerUIBundle,
  )
})()
`
