/**
 * What people put into a phone number beside its digits: every blank of Unicode, plus, brackets, dot and hyphen.
 *
 * Destinations arrive without it. Earlier releases stored what the caller wrote, so that searches by digits look for such rows too.
 */
export const formatting = ' \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000+().[]-'

/** Whether a destination may stand in old rows in another spelling: 7 to 15 digits. */
export const mayBeFormatted = (destination: string) => /^\d{7,15}$/.test(destination)
