using System.Security.Cryptography;

namespace LongCat.ML.Tool.Jobs;

/// <summary>The file that a job reads.</summary>
internal static class JobInput
{
    public static FileStream Open(string path) => new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.Asynchronous | FileOptions.SequentialScan);

    /// <summary>The SHA-256 of a shard's bytes.</summary>
    /// <exception cref="IOException">The file is shorter than the shard says.</exception>
    public static async Task<string> HashAsync(FileStream stream, Shard shard, IncrementalHash? also, CancellationToken cancellationToken)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        stream.Position = shard.FirstByte;
        for (long left = shard.EndByte - shard.FirstByte; left > 0;)
        {
            int read = await stream.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, left)), cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                throw new InvalidDataException($"{stream.Name} ends {left:N0} bytes before the end of the rows at {shard.FirstByte}..{shard.EndByte}: it has changed");
            }

            hash.AppendData(buffer.AsSpan(0, read));
            also?.AppendData(buffer.AsSpan(0, read));
            left -= read;
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
