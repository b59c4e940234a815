/** Why a host got its last sync by plain rsync, where most get a batch; null when it did not. */
export const fallback = `
ALTER TABLE host ADD COLUMN fallback TEXT;
`;
