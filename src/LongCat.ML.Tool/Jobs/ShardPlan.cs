using System.Security.Cryptography;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Jobs;

/// <summary>Divides an input into shards of about as many bytes each, at ends of lines. The same input and number give the same shards, on every machine.</summary>
internal static class ShardPlan
{
    /// <summary>Reads the input twice: once for its lines, once for its hashes.</summary>
    /// <exception cref="IOException">The input cannot be read, or changed on the way.</exception>
    public static async Task<(IReadOnlyList<Shard> Shards, string Sha256)> CreateAsync(string input, int count, CancellationToken cancellationToken)
    {
        await using FileStream stream = JobInput.Open(input);
        long size = stream.Length;
        List<Shard> shards = [];
        using RowNumbers numbers = new();
        JsonLineReader reader = new(stream, bytes: size);
        long begin = 0, firstLine = 1, line = 0;
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false) is { } next)
        {
            while (shards.Count < count - 1 && next.Offset >= Boundary(shards.Count + 1))
            {
                Close(next.Offset);
            }

            line = next.Number;
            if (!next.IsBlank)
            {
                numbers.Add(line);
            }
        }

        while (shards.Count < count)
        {
            Close(size);
        }

        using IncrementalHash whole = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int i = 0; i < count; i++)
        {
            shards[i] = shards[i] with { Sha256 = await JobInput.HashAsync(stream, shards[i], whole, cancellationToken).ConfigureAwait(false) };
        }

        return (shards, Convert.ToHexStringLower(whole.GetHashAndReset()));

        long Boundary(int shard) => (long)((Int128)size * shard / count);

        void Close(long end)
        {
            long rows = numbers.Count;
            shards.Add(new Shard(begin, end, firstLine, line + 1 - firstLine, rows, "", numbers.Take()));
            (begin, firstLine) = (end, line + 1);
        }
    }
}
