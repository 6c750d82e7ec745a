/**
 * What may stand beside the digits of a phone number in rows of earlier releases, which stored what the caller wrote: searches by digits look
 * for such rows too.
 *
 * It never changes, since the third schema of SQLite has an index made of it. What is taken away today is in access.ts, and is more.
 */
export const formatting = ' \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000+().[]-'

/** Whether a destination may stand in old rows in another spelling: 7 to 15 digits. */
export const mayBeFormatted = (destination: string) => /^\d{7,15}$/.test(destination)
