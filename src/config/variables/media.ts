import { Type } from '@sinclair/typebox'
import { expectedMediaStore } from '../../media/place.ts'
import { count, expectedUrl, type Field, type Group, hours, text } from './fields.ts'

/** Files that callers upload. */
export const media = {
  title: 'Files',
  variables: {
    MEDIA_URL: text({
      expected: expectedUrl,
      description:
        'Where Afilnet reaches this gateway to fetch uploaded files. Default: PUBLIC_URL. If neither is set and Afilnet is not on this machine, uploads get 503.',
      example: 'https://media.example.com',
    }),
    MEDIA_STORE: Type.String({
      default: 'file:./data/media',
      expected: expectedMediaStore,
      description:
        'Where the bytes of uploaded files are kept: file:<folder>, or s3://<bucket>/<prefix>?endpoint=<URL>&region=<region> with the usual AWS credentials. Several gateways need S3.',
    } satisfies Field),
    MEDIA_MAX_BYTES: count(16_777_216, 1, 1_073_741_824, 'a number of bytes', 'The size of one uploaded file; larger ones get 413.'),
    MEDIA_KEEP_HOURS: hours(72, 8_760, 'How long uploaded files are kept; one that a queued send needs is kept longer.'),
    MEDIA_MAX_MB: count(
      1_024,
      1,
      1_048_576,
      'a number of megabytes',
      'The size of all uploaded files together. Beyond it uploads get 507 until files expire.',
    ),
  },
} satisfies Group
