import type * as undici from 'undici'
// @ts-expect-error: undici has types for its index only
import api from 'undici/lib/api/index.js'
// @ts-expect-error
import connect from 'undici/lib/core/connect.js'
// @ts-expect-error
import errorsModule from 'undici/lib/core/errors.js'
// @ts-expect-error
import client from 'undici/lib/dispatcher/client.js'
// @ts-expect-error
import dispatcher from 'undici/lib/dispatcher/dispatcher.js'
// @ts-expect-error
import pool from 'undici/lib/dispatcher/pool.js'

// As the index does: all clients get request() and connect() from it.
Object.assign(dispatcher.prototype, api)

/**
 * What the gateway calls in undici itself.
 *
 * Its index loads the clients of fetch and WebSocket, caches and mocks as well: 70 modules more. The folders inside have no documented
 * layout, so the version is exact, and every start fails if a file is missing.
 */
export const buildConnector: typeof undici.buildConnector = connect
export const errors: typeof undici.errors = errorsModule
export const Client: typeof undici.Client = client
export type Client = undici.Client
export const Pool: typeof undici.Pool = pool
