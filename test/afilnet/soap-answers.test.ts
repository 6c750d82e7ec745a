import { describe, expect, test } from 'vitest'
import { readRows } from '../../src/afilnet/envelope.ts'
import { failures, faults, UpstreamError } from '../../src/afilnet/faults.ts'
import { getMessages, sendMessage } from '../../src/afilnet/operations.ts'
import { readAnswer } from '../../src/afilnet/soap/answer.ts'

const inEnvelope = (content: string, head = '<?xml version="1.0" encoding="UTF-8"?>') =>
  `${head}<E:Envelope xmlns:E="http://schemas.xmlsoap.org/soap/envelope/"><E:Header/><E:Body>${content}</E:Body></E:Envelope>`
const answer = (result: string) => inEnvelope(`<n:getmessagesResponse xmlns:n="urn:x"><return>${result}</return></n:getmessagesResponse>`)
const status = '<status>SUCCESS</status>'
const row =
  '<destination>34600000000</destination><message>Hola &amp; <![CDATA[<b>]]></message><messageid>9007199254740993</messageid><sent>1</sent>'
const item = (key: string, value: string) => `<item><key xsi:type="xsd:string">${key}</key><value>${value}</value></item>`
const rowMap =
  item('destination', '34600000000') + item('message', 'Hola &amp; &lt;b&gt;') + item('messageid', '9007199254740993') + item('sent', '1')

const rowsOf = (xml: string | Buffer) => readRows(getMessages, readAnswer(getMessages, Buffer.from(xml), undefined))
function errorOf(
  xml: string | Buffer,
  statusFault: Parameters<typeof readAnswer>[2] = undefined,
  operation: typeof getMessages | typeof sendMessage = sendMessage,
) {
  try {
    readRows(operation, readAnswer(operation, Buffer.from(xml), statusFault))
  } catch (error) {
    if (error instanceof UpstreamError) return error
    throw error
  }
  throw new Error('no error')
}

describe('The list of a SOAP answer', () => {
  test.for<[string, string]>([
    ['items', answer(`${status}<result><list><item>${row}</item><item>${row}</item></list></result>`)],
    ['elements of any name', answer(`${status}<result><list><message>${row}</message><message>${row}</message></list></result>`)],
    ['repeated lists', answer(`${status}<result><list>${row}</list><list>${row}</list></result>`)],
    ['PHP’s maps', answer(item('status', 'SUCCESS') + item('result', item('list', `<item>${rowMap}</item><item>${rowMap}</item>`)))],
    [
      'PHP’s map with numbers for names',
      answer(item('status', 'SUCCESS') + item('result', item('list', item('0', rowMap) + item('5', rowMap)))),
    ],
    [
      'PHP’s maps without types',
      answer(item('status', 'SUCCESS') + item('result', item('list', `<n:Map>${rowMap}</n:Map><n:Map>${rowMap}</n:Map>`))),
    ],
    ['results without a return', inEnvelope(`<r>${status}<result><list><item>${row}</item><item>${row}</item></list></result></r>`)],
    [
      'JSON',
      answer(
        JSON.stringify({
          status: 'SUCCESS',
          result: { list: [1, 2].map(() => ({ destination: '34600000000', message: 'Hola & <b>', messageid: 9007199254740991, sent: 1 })) },
        })
          .replaceAll('&', '&amp;')
          .replaceAll('<', '&lt;')
          .replaceAll('740991', '740993'),
      ),
    ],
  ])('can be %s', ([, xml]) => {
    const expected = { destination: '34600000000', message: 'Hola & <b>', messageid: '9007199254740993', sent: true }
    expect(rowsOf(xml)).toMatchObject([expected, expected])
  })

  test.for<[string, string]>([
    ['one row', `<list><item>${row}</item></list>`],
    ['one row in an element of any name', `<list><n:Map>${row}</n:Map></list>`],
    ['one row that is the list', `<list>${row}</list>`],
  ])('can have %s', ([, list]) => {
    expect(rowsOf(answer(`${status}<result>${list}</result>`))).toMatchObject([{ messageid: '9007199254740993' }])
  })

  test.for<[string, string]>([
    ['nothing in it', '<result><list/></result>'],
    ['no list', '<result/>'],
    ['nil', '<result><list xsi:nil="true"/></result>'],
    ['a nil result', '<result xsi:nil="1"/>'],
    ['no items', '<result><list SOAP-ENC:arrayType="ns2:Map[0]" xsi:type="SOAP-ENC:Array"/></result>'],
    ['no result', ''],
  ])('can be empty: %s', ([, result]) => {
    expect(rowsOf(answer(status + result))).toEqual([])
  })

  test('keeps texts as they are', () => {
    const text = '  two\n lines \t'
    expect(
      rowsOf(answer(`${status}<result><list><item><message>${text}</message><platform/><datetime xsi:nil="1"/></item></list></result>`)),
    ).toMatchObject([{ message: text, platform: '', datetime: null }])
  })

  test('keeps XML in a text a text', () => {
    const xml = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "bomb">]><x>&e;</x>'
    expect(rowsOf(answer(`${status}<result><list><item><message><![CDATA[${xml}]]></message></item></list></result>`))).toMatchObject([
      { message: xml },
    ])
  })

  test('can be in Latin-1, if it says so', () => {
    const xml = inEnvelope(
      `<r><return>${status}<result><list><item><message>ñ</message></item></list></result></return></r>`,
      '<?xml version="1.0" encoding="ISO-8859-1"?>',
    )
    expect(rowsOf(Buffer.from(xml, 'latin1'))).toMatchObject([{ message: 'ñ' }])
  })

  test('cannot change the prototype of objects', () => {
    const poison = '<x id="__proto__"><y>1</y></x><__proto__><polluted>1</polluted></__proto__><x href="__proto__"/>'
    rowsOf(answer(`${status}<result>${poison}<list/></result>`))

    expect(Object.keys(Object.prototype)).toEqual([])
    expect({}).not.toHaveProperty('polluted')
    expect({}).not.toHaveProperty('obj')
  })
})

describe('What is no SOAP answer', () => {
  const bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
  test.for<[string, string | Buffer]>([
    ['a page', '<!DOCTYPE html><html><body>Maintenance</body></html>'],
    ['entities', `<?xml version="1.0"?><!-- <E> -->${bomb}${answer(status).replace(/^<\?.*?\?>/, '')}`],
    ['an external entity', `<!DOCTYPE a SYSTEM "file:///etc/passwd">${answer(status).replace(/^<\?.*?\?>/, '')}`],
    ['an unknown entity', answer(`${status}&nbsp;`)],
    ['half a message', answer(status).slice(0, -20)],
    ['another encoding', answer(status).replace('UTF-8', 'UTF-7')],
    ['JSON', '{"status":"SUCCESS"}'],
    ['nothing', ''],
    ['too deep', answer(`${status}<result>${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}</result>`)],
    ['a comment without an end', `<!-- ${answer(status)}`],
    ['bytes that are not of its encoding', Buffer.from(answer(`${status}<result><message>ñ</message></result>`), 'latin1')],
    [
      'an element that stands for another',
      answer(`${status}<result><list><item id="ref1">${row}</item><item href="#ref1"/></list></result>`),
    ],
    ['too many elements', answer(`${status}<result><list>${'<a/>'.repeat(600_000)}</list></result>`)],
    ['too many attributes', answer(`${status}<result><list ${Array.from({ length: 600_000 }, (_, i) => `a${i}=""`).join(' ')}/></result>`)],
    ['a repeated status', answer(`${status}${status}`)],
    ['no status', answer('<result/>')],
    ['two bodies', answer(status).replace('</E:Envelope>', '<E:Body/></E:Envelope>')],
    ['two responses', inEnvelope(`<a>${status}</a><b>${status}</b>`)],
  ])('is unreadable: %s', ([, xml]) => {
    expect(errorOf(xml)).toMatchObject({ fault: failures.invalidResponse, outcome: 'unknown' })
  })

  test('but for the HTTP status, if that is an error', () => {
    expect(errorOf('<html></html>', failures.serverError)).toMatchObject({ fault: failures.serverError, outcome: 'unknown' })
    expect(errorOf(answer(status), failures.clientError)).toMatchObject({ fault: failures.clientError })
  })
})

describe('A SOAP fault', () => {
  const fault = (content: string) => inEnvelope(`<E:Fault>${content}</E:Fault>`)
  test.for<[string, string]>([
    ['code', '<faultcode>INCORRECT_USER_PASSWORD</faultcode><faultstring>No</faultstring>'],
    ['code with a prefix', '<faultcode>SOAP-ENV:INCORRECT_USER_PASSWORD</faultcode><faultstring>No</faultstring>'],
    ['code behind a dot', '<faultcode>SOAP-ENV:Client.INCORRECT_USER_PASSWORD</faultcode>'],
    ['string', '<faultcode>SOAP-ENV:Server</faultcode><faultstring> incorrect_user_password </faultstring>'],
    [
      'detail',
      '<faultcode>SOAP-ENV:Server</faultcode><faultstring>No</faultstring><detail><error>INCORRECT_USER_PASSWORD</error></detail>',
    ],
    [
      'subcode of SOAP 1.2',
      '<Code><Value>E:Sender</Value><Subcode><Value>x:INCORRECT_USER_PASSWORD</Value></Subcode></Code><Reason><Text>No</Text></Reason>',
    ],
  ])('is read by the code in its %s', ([, content]) => {
    for (const statusFault of [undefined, failures.serverError])
      expect(errorOf(fault(content), statusFault)).toMatchObject({
        fault: faults.INCORRECT_USER_PASSWORD,
        outcome: 'not_applied',
        upstreamCode: 'INCORRECT_USER_PASSWORD',
      })
  })

  test.for<[string, { fault: object; upstreamCode?: string | undefined }]>([
    ['<faultcode>SOAP-ENV:Server</faultcode><faultstring>Error 5</faultstring>', { fault: failures.serverError, upstreamCode: undefined }],
    [
      '<faultcode>SOAP-ENV:Client</faultcode><faultstring>Bad Request</faultstring>',
      { fault: failures.clientError, upstreamCode: undefined },
    ],
    [
      '<faultcode>SOAP-ENV:Server</faultcode><faultstring>SOME_OTHER_CODE</faultstring>',
      { fault: failures.serverError, upstreamCode: 'SOME_OTHER_CODE' },
    ],
    ['<faultcode>SOAP-ENV:SERVER</faultcode><faultstring>PASSWORD</faultstring>', { fault: failures.serverError, upstreamCode: undefined }],
    ['<Code><Value>E:Sender</Value></Code><Reason><Text>No</Text></Reason>', { fault: failures.clientError, upstreamCode: undefined }],
    ['<faultstring>Wrong password: fake_password</faultstring>', { fault: failures.serverError, upstreamCode: undefined }],
    ['<faultstring>NO_ROUTE_TO_34600000000</faultstring>', { fault: failures.serverError, upstreamCode: undefined }],
    [
      '<faultstring>The text says INCORRECT_USER_PASSWORD, and more</faultstring>',
      { fault: failures.serverError, upstreamCode: undefined },
    ],
    ['', { fault: failures.serverError }],
  ])('without a code of Afilnet’s is an upstream-error: %s', ([content, expected]) => {
    const error = errorOf(fault(content), failures.serverError)

    expect(error).toMatchObject({ ...expected, outcome: 'unknown' })
    expect(error.fault, 'the two look alike').toBe(expected.fault)
  })
})
