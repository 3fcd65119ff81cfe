/* The table of routes as an OpenAPI 3.1 document: what other programs make their clients from. All
 * of it comes from the tables (routes, shapes, permissions, errors), in their order; what they do
 * not say, which is the fields of a reply, is left open here too. */
#include "openapi.h"
#include <ctype.h>
#include "base/json.h"
#include "base/mem.h"
#include "core/access/access.h"
#include "core/api/api_priv.h"

static json_t *reference(const char *kind, const char *name)
{
    json_t *object = json_object();
    AUTO_FREE char *to = mem_format("#/components/%s/%s", kind, name);
    json_put_text(object, "$ref", to);
    return object;
}

static json_t *typed(const char *type)
{
    json_t *schema = json_object();
    json_put_text(schema, "type", type);
    return schema;
}

/* {NAME: value}; takes value. */
static json_t *wrapped(const char *name, json_t *value)
{
    json_t *object = json_object();
    json_put(object, name, value);
    return object;
}

/* ---- shapes ---- */

/* Our texts are limited in bytes and a schema's in characters of 1 to 4 bytes: whatever we take
 * passes the schema too. */
static json_t *string_schema(const struct json_field *f, int64_t max)
{
    json_t *schema = typed("string");
    if (f->min)
        json_put_int(schema, "minLength", (f->min + 3) / 4);
    json_put_int(schema, "maxLength", max);
    return schema;
}

static json_t *int_schema(const struct json_field *f, int64_t max)
{
    json_t *schema = typed("integer");
    json_put_int(schema, "minimum", f->min);
    json_put_int(schema, "maximum", max);
    return schema;
}

static json_t *array_schema(const struct json_field *f, int64_t max)
{
    json_t *schema = typed("array");
    if (f->min)
        json_put_int(schema, "minItems", f->min);
    json_put_int(schema, "maxItems", max);
    return schema;
}

static json_t *field_schema(const struct json_field *f)
{
    bool defaults = !f->min && !f->max;
    switch (f->kind) {
    case JSON_FIELD_STRING:
        return string_schema(f, defaults ? JSON_STRING_LIMIT : f->max);
    case JSON_FIELD_INT:
        return int_schema(f, defaults ? JSON_INT_LIMIT : f->max);
    case JSON_FIELD_BOOL:
        return typed("boolean");
    case JSON_FIELD_OBJECT:
        return typed("object");
    case JSON_FIELD_ARRAY:
        return array_schema(f, defaults ? JSON_ARRAY_LIMIT : f->max);
    case JSON_FIELD_ANY:
        return json_object();
    }
    return NULL;
}

static json_t *shape_schema(const struct json_field *fields, size_t count)
{
    json_t *schema = typed("object");
    json_t *properties = json_object();
    json_t *required = json_array();
    for (size_t i = 0; i < count; i++) {
        json_put(properties, fields[i].name, field_schema(&fields[i]));
        if (fields[i].required)
            json_push(required, json_str_value(str_of(fields[i].name)));
    }
    json_put(schema, "properties", properties);
    if (json_array_size(required))
        json_put(schema, "required", json_incref(required));
    json_decref(required);
    json_put_bool(schema, "additionalProperties", false);
    return schema;
}

/* ---- one route ---- */

static char *lower_case(const char *text)
{
    char *copy = mem_strdup(text);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

/* "get_apps_app_envs_env": the method and the words of the path. */
static char *operation_id(const struct api_route *r)
{
    AUTO_BUF id = BUF_INIT(0);
    AUTO_FREE char *method = lower_case(r->method);
    (void)buf_add_text(&id, method);
    for (const char *c = r->path; *c; c++)
        if (*c != '{' && *c != '}')
            (void)buf_add_char(&id, isalnum((unsigned char)*c) ? *c : '_');
    return buf_take(&id);
}

static json_t *parameter(const char *place, const char *name, bool required, json_t *schema)
{
    json_t *object = json_object();
    json_put_text(object, "name", name);
    json_put_text(object, "in", place);
    if (required)
        json_put_bool(object, "required", true);
    json_put(object, "schema", schema);
    return object;
}

/* Of what stands in braces. */
static json_t *path_parameters(const struct api_route *r)
{
    json_t *list = json_array();
    for (const char *at = strchr(r->path, '{'); at; at = strchr(at, '{')) {
        AUTO_FREE char *name = str_dup((struct str){at + 1, strcspn(at + 1, "}")});
        json_push(list, parameter("path", name, true, typed("string")));
        at++;
    }
    return list;
}

static void query_parameters(const struct api_route *r, json_t *list)
{
    for (size_t i = 0; i < r->query_count; i++) {
        const struct json_field *f = &r->query[i];
        json_push(list, parameter("query", f->name, f->required, field_schema(f)));
    }
}

static json_t *content_of(json_t *schema)
{
    return wrapped("application/json", wrapped("schema", schema));
}

static json_t *request_body(const struct api_route *r)
{
    json_t *body = json_object();
    bool required = false;
    for (size_t i = 0; i < r->field_count; i++)
        required = required || r->fields[i].required;
    json_put_bool(body, "required", required);
    json_put(body, "content", content_of(shape_schema(r->fields, r->field_count)));
    return body;
}

static json_t *responses_of(const struct api_route *r)
{
    json_t *responses = json_object();
    AUTO_FREE char *status = mem_format("%d", r->status);
    bool stream = (r->flags & API_STREAM) != 0;
    json_put(responses, status, reference("responses", stream ? "Stream" : "Object"));
    json_put(responses, "default", reference("responses", "Error"));
    return responses;
}

static json_t *operation(const struct api_route *r)
{
    json_t *o = json_object();
    AUTO_FREE char *id = operation_id(r);
    json_t *query = json_array();
    json_put_text(o, "operationId", id);
    json_put_text(o, "summary", r->summary);
    json_put_text(o, "x-permission", permission_name(r->permission));
    if (r->permission == PERMISSION_NONE)
        json_put(o, "security", json_array());
    query_parameters(r, query);
    if (json_array_size(query))
        json_put(o, "parameters", json_incref(query));
    json_decref(query);
    if (r->fields)
        json_put(o, "requestBody", request_body(r));
    json_put(o, "responses", responses_of(r));
    return o;
}

/* Routes of one path stand together, where the first of them does. */
static json_t *paths(void)
{
    json_t *all = json_object();
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *r = &api_routes[i];
        json_t *item = json_object_get(all, r->path);
        AUTO_FREE char *method = lower_case(r->method);
        if (!item) {
            item = json_object();
            json_put(all, r->path, item);
            if (strchr(r->path, '{'))
                json_put(item, "parameters", path_parameters(r));
        }
        json_put(item, method, operation(r));
    }
    return all;
}

/* ---- what all routes share ---- */

static json_t *described(json_t *object, const char *description)
{
    json_put_text(object, "description", description);
    return object;
}

static json_t *error_names(void)
{
    json_t *schema = described(typed("string"), "never changes: match on it");
    json_t *names = json_array();
    for (int kind = E_OK + 1; kind < E_COUNT; kind++)
        json_push(names, json_str_value(str_of(err_name((enum err_kind)kind))));
    json_put(schema, "enum", names);
    return schema;
}

static json_t *error_classes(void)
{
    json_t *schema = typed("string");
    json_t *names = json_array();
    for (int i = ERR_NONE + 1; i <= ERR_INTERNAL; i++)
        json_push(names, json_str_value(str_of(err_class_name((enum err_class)i))));
    json_put(schema, "enum", names);
    return schema;
}

static json_t *error_schema(void)
{
    json_t *schema = typed("object");
    json_t *properties = json_object();
    json_put(properties, "error", error_names());
    json_put(properties, "class", error_classes());
    json_put(properties, "text",
             described(typed("string"), "for people: what failed, and what to do next"));
    json_put(properties, "detail", described(typed("object"), "what the text has no room for"));
    json_put(schema, "properties", properties);
    json_put(schema, "required", json_pack("[sss]", "error", "class", "text"));
    return schema;
}

static json_t *response(const char *description, json_t *schema)
{
    json_t *object = described(json_object(), description);
    json_put(object, "content", content_of(schema));
    return object;
}

static json_t *stream_response(void)
{
    json_t *stream =
        response("one answer, or events as long as the asker listens and may", typed("object"));
    json_put(json_object_get(stream, "content"), "text/event-stream",
             wrapped("schema", typed("string")));
    return stream;
}

static json_t *error_response(void)
{
    json_t *error = response("an error, with the HTTP status that its name has in errors.md",
                             reference("schemas", "Error"));
    json_t *wait = described(json_object(), "seconds, where it is known when to ask again");
    json_put(wait, "schema", typed("integer"));
    json_put(error, "headers", wrapped("Retry-After", wait));
    return error;
}

static json_t *responses(void)
{
    json_t *all = json_object();
    json_put(all, "Object", response("done, and durable", typed("object")));
    json_put(all, "Stream", stream_response());
    json_put(all, "Error", error_response());
    return all;
}

static json_t *components(void)
{
    json_t *all = json_object();
    json_t *bearer = typed("http");
    json_put_text(bearer, "scheme", "bearer");
    json_put_text(bearer, "description", "a token of POST /login or POST /tokens");
    json_put(all, "securitySchemes", wrapped("token", bearer));
    json_put(all, "responses", responses());
    json_put(all, "schemas", wrapped("Error", error_schema()));
    return all;
}

static json_t *info(void)
{
    json_t *object = json_object();
    json_put_text(object, "title", "Slipway");
    json_put_text(object, "version", "v1");
    json_put_text(object, "description",
                  "Generated by tools/docs from src/core/api/routes.c and src/base/err.def. "
                  "Lengths of texts in a body are limited in bytes. A null in the place of an "
                  "optional field is as none. x-permission is the right that the asker needs; "
                  "root needs no token on the unix socket.");
    json_put(object, "license",
             json_pack("{ssss}", "name", "Apache License 2.0", "identifier", "Apache-2.0"));
    return object;
}

void openapi_print(struct buf *out)
{
    AUTO_JSON *document = json_object();
    json_put_text(document, "openapi", "3.1.0");
    json_put(document, "info", info());
    json_put(document, "servers", json_pack("[{ss}]", "url", "/api/v1"));
    json_put(document, "security", json_pack("[{s[]}]", "token"));
    json_put(document, "paths", paths());
    json_put(document, "components", components());
    AUTO_FREE char *text = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    (void)buf_add_text(out, text);
    (void)buf_add_char(out, '\n');
}
