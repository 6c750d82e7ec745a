import { AjvCompiler } from '@fastify/ajv-compiler'
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import type { FastifyServerOptions } from 'fastify'

type Factories = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>

const ajvOf = AjvCompiler()
type AjvOf = typeof ajvOf
type Validator = ReturnType<ReturnType<AjvOf>>

const stringifyOf = SerializerSelector()

/** Fastify's own compilers, at work with the first request that needs a schema: compiling all of them takes a third of the start. */
export const lazyCompilers: Factories = {
  buildValidator:
    (externalSchemas: Parameters<AjvOf>[0], options: Parameters<AjvOf>[1]) => (definition: Parameters<ReturnType<AjvOf>>[0]) => {
      let validator: Validator | undefined
      const validate = (data: unknown) => {
        validator ??= ajvOf(externalSchemas, options)(definition)
        const result = validator(data)
        lazy.errors = validator.errors ?? null
        return result
      }
      const lazy = validate as Validator // Fastify calls it and reads its errors
      return lazy
    },
  buildSerializer: (externalSchemas, options) => definition => {
    let serialize: ((data: unknown) => string) | undefined
    return data => {
      serialize ??= stringifyOf(externalSchemas, options)(definition)
      return serialize(data)
    }
  },
}
