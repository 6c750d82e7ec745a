/** The channels of a new account. */
export const channels = [
  { platformid: '10', platform: 'webchat', name: 'Website' },
  { platformid: '100', platform: 'whatsapp', name: 'WhatsApp support' },
  { platformid: '200', platform: 'telegram', name: 'Telegram bot' },
  { platformid: '300', platform: 'operator', name: 'Operators' },
]

type Seed = [
  platform: string,
  platformid: string,
  destination: string,
  minutesAgo: number,
  status: 'sent' | 'read' | 'unread',
  text: string,
]

/** The messages of a new account, the oldest first. */
export const seeds: readonly Seed[] = [
  ['operator', '300', 'ana', 300, 'read', 'I take the afternoon shift'],
  ['operator', '300', 'ana', 290, 'sent', 'Thank you, Ana'],
  ['telegram', '200', '700100200', 180, 'read', '/start'],
  ['telegram', '200', '700100200', 179, 'sent', 'Welcome! Ask us anything.'],
  ['whatsapp', '100', '34600000001', 95, 'sent', 'Your parcel is on its way'],
  ['whatsapp', '100', '34600000001', 90, 'read', 'Great 👍'],
  ['webchat', '10', 'visitor-7f3a', 40, 'read', 'Hello, is anybody there?'],
  ['webchat', '10', 'visitor-7f3a', 39, 'sent', 'Hello! How can we help?'],
  ['whatsapp', '100', '34600000000', 30, 'sent', 'Good morning, your order 1043 is ready'],
  ['webchat', '10', 'visitor-7f3a', 12, 'unread', 'Do you ship to the Canary Islands?'],
  ['whatsapp', '100', '34600000000', 8, 'unread', '¿Hasta qué hora abren hoy?'],
  ['whatsapp', '100', '34600000000', 7, 'unread', 'I can come at seven'],
]

/** What customers of the demo say, in turn. */
export const smallTalk = [
  'Thanks, I got your message!',
  'Perfect, that suits me.',
  'One more question: are you open on Saturday?',
  'Great, see you then 👋',
  'Could you send me the address again, please?',
]
