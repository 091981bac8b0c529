/*
 * A security key made of software, for ssh's own provider interface: it signs with a key that lies in the key handle,
 * and claims what GITGUARD_LAB_FLAGS says: 1 a touch, 4 a PIN or fingerprint, 5 both, 0 neither. A real one cannot lie.
 * Source of the interface: OpenSSH's sk-api.h and PROTOCOL.u2f. libcrypto's functions are declared here, so that no
 * headers have to be installed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef SK_VERSION
#define SK_VERSION 0x000a0000 /* OpenSSH 8.9 and later */
#endif
#define SK_ED25519 1
#define FAILED (-1)
#define UNSUPPORTED (-2)
#define EVP_ED25519 1087

struct sk_enroll_response {
	uint8_t flags;
	uint8_t *public_key;
	size_t public_key_len;
	uint8_t *key_handle;
	size_t key_handle_len;
	uint8_t *signature;
	size_t signature_len;
	uint8_t *attestation_cert;
	size_t attestation_cert_len;
	uint8_t *authdata;
	size_t authdata_len;
};
struct sk_sign_response {
	uint8_t flags;
	uint32_t counter;
	uint8_t *sig_r;
	size_t sig_r_len;
	uint8_t *sig_s;
	size_t sig_s_len;
};
struct sk_option;
struct sk_resident_key;

extern int RAND_bytes(unsigned char *, int);
extern unsigned char *SHA256(const unsigned char *, size_t, unsigned char *);
extern void *EVP_PKEY_new_raw_private_key(int, void *, const unsigned char *, size_t);
extern int EVP_PKEY_get_raw_public_key(const void *, unsigned char *, size_t *);
extern void EVP_PKEY_free(void *);
extern void *EVP_MD_CTX_new(void);
extern void EVP_MD_CTX_free(void *);
extern int EVP_DigestSignInit(void *, void *, const void *, void *, void *);
extern int EVP_DigestSign(void *, unsigned char *, size_t *, const unsigned char *, size_t);

static uint8_t claimed(void)
{
	const char *flags = getenv("GITGUARD_LAB_FLAGS");
	return flags == NULL ? 5 : (uint8_t)atoi(flags);
}

uint32_t sk_api_version(void)
{
	return SK_VERSION;
}

int sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len, const char *application, uint8_t flags,
    const char *pin, struct sk_option **options, struct sk_enroll_response **response)
{
	struct sk_enroll_response *made;
	size_t length = 32;
	void *key;

	(void)challenge; (void)challenge_len; (void)application; (void)pin; (void)options;
	if (alg != SK_ED25519)
		return UNSUPPORTED;
	if ((made = calloc(1, sizeof(*made))) == NULL || (made->key_handle = malloc(32)) == NULL ||
	    (made->public_key = malloc(32)) == NULL || (made->signature = calloc(1, 64)) == NULL ||
	    (made->attestation_cert = calloc(1, 1)) == NULL || (made->authdata = calloc(1, 1)) == NULL)
		return FAILED;
	if (RAND_bytes(made->key_handle, 32) != 1 ||
	    (key = EVP_PKEY_new_raw_private_key(EVP_ED25519, NULL, made->key_handle, 32)) == NULL)
		return FAILED;
	if (EVP_PKEY_get_raw_public_key(key, made->public_key, &length) != 1)
		return FAILED;
	EVP_PKEY_free(key);
	made->flags = flags;
	made->key_handle_len = made->public_key_len = 32;
	made->signature_len = 64;
	*response = made;
	return 0;
}

int sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application, const uint8_t *handle,
    size_t handle_len, uint8_t flags, const char *pin, struct sk_option **options, struct sk_sign_response **response)
{
	static const uint8_t counter[4] = { 0x12, 0x34, 0x56, 0x78 };
	struct sk_sign_response *made;
	uint8_t message[32 + 1 + 4 + 32];
	size_t length = 64;
	void *key, *context;

	(void)flags; (void)pin; (void)options;
	if (alg != SK_ED25519 || handle_len != 32)
		return UNSUPPORTED;
	if ((made = calloc(1, sizeof(*made))) == NULL || (made->sig_r = malloc(64)) == NULL)
		return FAILED;
	made->flags = claimed();
	made->counter = 0x12345678;
	SHA256((const unsigned char *)application, strlen(application), message);
	message[32] = made->flags;
	memcpy(message + 33, counter, sizeof(counter));
	SHA256(data, data_len, message + 37);
	if ((key = EVP_PKEY_new_raw_private_key(EVP_ED25519, NULL, handle, 32)) == NULL ||
	    (context = EVP_MD_CTX_new()) == NULL || EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(context, made->sig_r, &length, message, sizeof(message)) != 1)
		return FAILED;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	made->sig_r_len = length;
	*response = made;
	return 0;
}

int sk_load_resident_keys(const char *pin, struct sk_option **options, struct sk_resident_key ***keys, size_t *count)
{
	(void)pin; (void)options; (void)keys; (void)count;
	return UNSUPPORTED;
}
