using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace LongCat.ML.Tool.Jobs;

/// <summary>A hash over the numbers of rows in their order: equal hashes mean that every row is there, once, and in its place.</summary>
internal sealed class RowNumbers : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    public long Count { get; private set; }

    public void Add(long line)
    {
        Span<byte> text = stackalloc byte[24];
        int length = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{line}\n"), text);
        _hash.AppendData(text[..length]);
        Count++;
    }

    /// <summary>The hash, in lower-case hexadecimal; begins anew.</summary>
    public string Take()
    {
        Count = 0;
        return Convert.ToHexStringLower(_hash.GetHashAndReset());
    }

    public void Dispose() => _hash.Dispose();
}
