// SPDX-License-Identifier: Apache-2.0
/* A stand-in for the vendor's libdagconf: one attribute, the drop counter of each receive stream. */
#include "dag_standin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *dag_config_init(const char *device);
void dag_config_dispose(void *card);
uintptr_t dag_config_get_indexed_attribute_uuid(void *card, int code, int index);
uintptr_t dag_config_get_indexed_named_attribute_uuid(void *card, const char *name, int index);
int dag_config_get_uint32_attribute_ex(void *card, uintptr_t attribute, uint32_t *value);

void *dag_config_init(const char *device)
{
	return strdup(device);
}

void dag_config_dispose(void *card)
{
	free(card);
}

static uintptr_t attribute_of(const char *card, int index)
{
	uint32_t drops;

	return standin_drops(card, 2 * index, &drops) ? 0 : (uintptr_t)index + 1;
}

uintptr_t dag_config_get_indexed_attribute_uuid(void *card, int code, int index)
{
	return code == STANDIN_DROP_CODE ? attribute_of(card, index) : 0;
}

uintptr_t dag_config_get_indexed_named_attribute_uuid(void *card, const char *name, int index)
{
	return strcmp(name, STANDIN_DROP_NAME) ? 0 : attribute_of(card, index);
}

int dag_config_get_uint32_attribute_ex(void *card, uintptr_t attribute, uint32_t *value)
{
	return standin_drops(card, 2 * ((int)attribute - 1), value) ? EINVAL : 0;
}
