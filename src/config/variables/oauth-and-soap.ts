import { grants, jsonStyles } from '../../afilnet/transports.ts'
import { choice, text } from './fields.ts'

/** What the transports json and soap need beyond the others. */
export const oauthAndSoap = {
  AFILNET_TOKEN_URL: text({
    single: true,
    expected: 'an absolute https URL without credentials, query or fragment; plain http only for a loopback host or "sandbox"',
    description: 'json: where the gateway gets its OAuth 2.0 tokens.',
    example: 'https://auth.example.com/oauth/token',
  }),
  AFILNET_CLIENT_ID: text({
    single: true,
    pattern: '\\S',
    expected: 'the OAuth 2.0 client id',
    description: 'json: the OAuth 2.0 client id of the account.',
    example: 'my-client',
  }),
  AFILNET_CLIENT_SECRET: text({
    secret: true,
    single: true,
    pattern: '\\S',
    expected: 'the OAuth 2.0 client secret',
    description: 'json: its secret. It goes to AFILNET_TOKEN_URL only.',
    example: 'my-client-secret',
  }),
  AFILNET_SCOPE: text({
    single: true,
    pattern: '^[!#-\\[\\]-~]+( [!#-\\[\\]-~]+)*$',
    expected: 'a list of OAuth 2.0 scopes separated by single blanks',
    description: 'json: the scopes to ask for. Default: none is named.',
    example: 'chat',
  }),
  AFILNET_GRANT: choice(grants, {
    description:
      'json: client_credentials (default), or password, which also sends AFILNET_USER and AFILNET_PASSWORD to AFILNET_TOKEN_URL.',
    example: 'client_credentials',
  }),
  AFILNET_JSON_STYLE: choice(jsonStyles, {
    description: 'json: whether class and method stand in the body (default) or in the path, as in …/chat/sendmessage.',
    example: 'body',
  }),
  AFILNET_WSDL: text({
    single: true,
    expected: 'the https URL of a WSDL, or the path of a file (plain http only for a loopback host or "sandbox")',
    description: 'soap: the URL or the file of the WSDL. The gateway reads it at start and when it or its account changes.',
    example: 'https://www.example.com/soap/?wsdl',
  }),
}
