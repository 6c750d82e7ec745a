import { createHmac, type KeyObject } from 'node:crypto'

/**
 * What the ledger keeps of a text: enough to find the message in its conversation, and nothing that anyone without the secret could read.
 *
 * Afilnet may normalize line breaks, accents and blanks at the ends.
 */
export const textDigest = (text: string, secret: KeyObject): string =>
  createHmac('sha256', secret)
    .update(`text ${text.normalize('NFC').replaceAll('\r\n', '\n').trim()}`)
    .digest('base64url')
    .slice(0, 22)
