import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// For npm start, before any source: once the cache is there, the library that strips types is not loaded. A variable would need a POSIX shell.
enableCompileCache(join(import.meta.dirname, '../../node_modules/.cache/compile'))
