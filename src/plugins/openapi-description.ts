import { faults } from '../afilnet/faults.ts'
import { undeclaredErrors } from './openapi-errors.ts'

/** The first screen of the API document. The sandbox's magic destinations are folded away. */
export const description = (
  links: string,
) => `Send and read WhatsApp, Telegram, webchat and operator messages of an Afilnet account over REST. The account's password stays in the gateway: you call it with an API key.

**Your first message**

1. Choose *Authorize* and paste your API key. \`npm run demo\` prints one; in production your operator gives you one.
2. Call \`GET /channels\`. Each channel has the \`platform\` and \`platformId\` that the other calls need.
3. Call \`POST /chats/{platform}/{platformId}/{destination}/messages\` with an \`Idempotency-Key\` that is unique to the message. If the answer gets lost, repeat the request with the same key: it never sends twice.

Every answer has \`X-Request-Id\`, which is also in the log; the gateway keeps one that you send if it matches \`[A-Za-z0-9_-]{8,64}\`.
Accept members and values that this document does not name, beyond the known values too: later releases add some.

<details>
<summary>Errors</summary>

Every error is \`application/problem+json\`. Decide on its \`code\`, on \`outcome\` (did anything happen at Afilnet?) and on \`retry\` (may the request be repeated?).
Each operation has a table of its errors, with links to what they mean. Any operation can also answer with: ${undeclaredErrors(links)}.

</details>

<details>
<summary>Magic destinations of the sandbox</summary>

With the sandbox, these values of \`{destination}\` (for the conversations of a channel: of \`{platformId}\`) show what your code will meet.

| destination | what happens |
| --- | --- |
| ${Object.keys(faults)
  .concat('NOT_ACCESS_TO_TEMPLATE')
  .map(code => `\`${code}\``)
  .join(', ')} | Afilnet answers with that error code |
| \`slow\` | The answer takes three seconds |
| \`silent\` | Afilnet takes the message and never answers |
| \`html\` | A web page comes instead of an answer |
| \`truncated\` | The answer is cut short |
| \`drops\` | Afilnet takes the message, then drops the connection |
| \`resets\` | The connection is reset and nothing is taken |

</details>
`
