// The open API's own description: OpenAPI 3.1, made from the table of routes and the schemas in code. docs/api.json is its text.
// Source: https://spec.openapis.org/oas/v3.1.0

import { z } from 'zod';
import { ANSWERS, type AnswerName, PARAMETERS, type ParameterName, ROUTES, type Route } from './api-routes.ts';

type JsonSchema = Readonly<Record<string, unknown>>;

const PLACE = /\{(\w+)\}/g;

/** Names of the parameters in a path. */
export function namesIn(path: string): readonly ParameterName[] {
  return [...path.matchAll(PLACE)].map((match) => match[1] as ParameterName);
}

/** The text of docs/api.json. */
export function apiDocument(): string {
  const paths = Object.fromEntries(ROUTES.map((route) => [route.path, { get: operation(route) }]));
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Wattpact: the open API of a validator',
      version: '1',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'Read only. The public sees headers and aggregates over at least 5 gateways; a party what is its own, by a signed query; operators, utilities and validators what their role needs. What comes with a proof should be checked: `wattpact chain check`.',
    },
    paths,
    components: {
      schemas: schemas(),
      securitySchemes: {
        signedQuery: {
          type: 'http',
          scheme: 'Wattpact',
          description: 'An envelope of kind `query`, signed by the asker, in base64url: docs/protocol.md, section 8.',
        },
      },
    },
  };
  return JSON.stringify(document, null, 1);
}

function schemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(ANSWERS)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, { uri: reference, unrepresentable: 'any' }).schemas;
  return Object.fromEntries(Object.entries(made).map(([id, schema]) => [id, plain(schema)]));
}

/** Within a document of OpenAPI the dialect is known and the place is the name. */
function plain({ $schema: _dialect, $id: _id, ...schema }: JsonSchema): JsonSchema {
  return schema;
}

function reference(name: string): string {
  return `#/components/schemas/${name}`;
}

function operation(route: Route): JsonSchema {
  const isPublic = isForEverybody(route);
  const content = (name: AnswerName) => ({ 'application/json': { schema: { $ref: reference(name) } } });
  const error = (description: string) => ({
    description,
    content: {
      'application/json': {
        schema: {
          type: 'object',
          properties: { error: { type: 'string' }, timeMs: { type: 'integer' } },
          required: ['error'],
        },
      },
    },
  });
  return {
    summary: route.what,
    parameters: [
      ...namesIn(route.path).map((name) => ({ name, in: 'path', required: true, ...described(name) })),
      ...route.question.map((name) => ({ name, in: 'query', required: false, ...described(name) })),
    ],
    security: isPublic ? [] : [{ signedQuery: [] }],
    responses: {
      200: { description: 'found', content: content(route.answer) },
      400: error('a parameter that is none'),
      ...(isPublic ? {} : { 403: error('the asker may not see this') }),
      401: error('the query does not hold; `timeMs` is the chain time of the validator'),
      404: error('there is no such thing in the book of this validator'),
      409: error('its block is the newest: the next one certifies it'),
      429: error('too many questions: Retry-After says when'),
    },
  };
}

function isForEverybody({ about }: Route): boolean {
  const subject = about({ party: '', feeder: '' } as Parameters<Route['about']>[0]);
  return subject !== 'validators' && subject.about === 'everybody';
}

function described(name: ParameterName): { description: string; schema: JsonSchema } {
  const { description, ...schema } = plain(z.toJSONSchema(PARAMETERS[name], { io: 'input', unrepresentable: 'any' }));
  return { description: String(description), schema };
}
