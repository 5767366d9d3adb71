// SPDX-License-Identifier: Apache-2.0
#include "account.h"

static uint64_t since(uint64_t now, uint64_t base, uint64_t last)
{
	return now >= base && now - base > last ? now - base : last;
}

void cap_pfring_account_begin(struct cap_pfring_account *account,
			      const struct cap_pfring_look *look)
{
	*account = (struct cap_pfring_account){ .base = *look };
}

void cap_pfring_account_renew(struct cap_pfring_account *account,
			      const struct cap_pfring_look *look)
{
	if (account->settled)
		return;
	account->inserted = since(look->taken + look->queued,
				  account->base.taken + account->base.queued, account->inserted);
	account->inserted = since(look->recv, account->base.recv, account->inserted);
	account->drop = since(look->drop, account->base.drop, account->drop);
	account->filtered = since(look->filtered, account->base.filtered, account->filtered);
}

void cap_pfring_account_settle(struct cap_pfring_account *account,
			       const struct cap_pfring_look *look, uint64_t most)
{
	cap_pfring_account_renew(account, look);
	account->settled = true;
	account->left = most ? most : look->queued;
}

void cap_pfring_account_took(struct cap_pfring_account *account, uint64_t taken)
{
	if (account->left)
		account->left--;
	if (taken - account->base.taken > account->inserted)
		account->inserted = taken - account->base.taken;
}

uint64_t cap_pfring_account_wire(const struct cap_pfring_account *account)
{
	return account->inserted + account->drop + account->filtered;
}
