namespace LongCat.ML.Checkpoints;

/// <summary>One file of an exported model as longcat.json records it.</summary>
/// <param name="Bytes">The length in bytes, zero or more.</param>
/// <param name="Sha256">SHA-256 of the content, 64 lower-case hexadecimal digits.</param>
public sealed record ManifestFile(long Bytes, string Sha256);
