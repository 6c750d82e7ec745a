import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { archiveContract } from '../archive-contract.ts'
import { storeContract } from '../contract.ts'
import { deliveryContract } from '../delivery-contract.ts'
import { eventContract } from '../event-contract.ts'
import { findingsContract } from '../findings-contract.ts'
import { mediaContract } from '../media-contract.ts'
import { queueContract } from '../queue-contract.ts'

const scratch = mkdtempSync(join(tmpdir(), 'store-'))
let files = 0
for (const contract of [storeContract, findingsContract, queueContract, archiveContract, eventContract, deliveryContract, mediaContract])
  contract('sqlite in a file', options => openStore(`sqlite:${join(scratch, `${++files}`, 'contract.sqlite')}`, options))
afterAll(() => rmSync(scratch, { recursive: true }))
