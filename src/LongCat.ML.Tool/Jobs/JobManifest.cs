using System.Text.Json;

namespace LongCat.ML.Tool.Jobs;

/// <summary>
/// <c>job.json</c> of a job's folder: which rows each worker has and what decides their results. Whoever is first writes it; the others, and those that continue, are held against it.
/// </summary>
/// <param name="FormatVersion">1.</param>
/// <param name="InputName">The input's name without its folder.</param>
/// <param name="InputBytes">Its length.</param>
/// <param name="InputSha256">Of all its bytes.</param>
/// <param name="Settings">What decides the results besides the rows, one <c>name: value</c> each.</param>
/// <param name="Shards">The workers' rows.</param>
internal sealed record JobManifest(int FormatVersion, string InputName, long InputBytes, string InputSha256, IReadOnlyList<string> Settings, IReadOnlyList<Shard> Shards)
{
    public const string FileName = "job.json";

    private const int CurrentVersion = 1;

    private static readonly JsonSerializerOptions s_json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true };

    public long Rows => Shards.Sum(shard => shard.Rows);

    /// <summary>The job of a folder, made where there is none yet.</summary>
    /// <param name="folder">The job's folder, created when absent.</param>
    /// <param name="input">The input.</param>
    /// <param name="shards">How many workers there are.</param>
    /// <param name="settings">See <see cref="Settings"/>.</param>
    /// <param name="cancellationToken">Ends it; no manifest is left.</param>
    /// <exception cref="InvalidDataException">The folder holds another job, or something else.</exception>
    public static async Task<JobManifest> OpenAsync(string folder, string input, int shards, IReadOnlyList<string> settings, CancellationToken cancellationToken)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).FirstOrDefault(entry => !Path.GetFileName(entry).StartsWith('.')) is { } other && !File.Exists(path))
            {
                throw new InvalidDataException($"{folder} holds {Path.GetFileName(other)} and no {FileName}, so it is no folder of a job; choose another or empty this one");
            }

            Directory.CreateDirectory(folder);
            (IReadOnlyList<Shard> ranges, string hash) = await ShardPlan.CreateAsync(input, shards, cancellationToken).ConfigureAwait(false);
            JobManifest made = new(CurrentVersion, Path.GetFileName(input), ranges[^1].EndByte, hash, settings, ranges);
            string partial = Path.Combine(folder, $".{FileName}.{Guid.NewGuid():N}");
            try
            {
                await File.WriteAllBytesAsync(partial, JsonSerializer.SerializeToUtf8Bytes(made, s_json), cancellationToken).ConfigureAwait(false);
                File.Move(partial, path, overwrite: false);
            }
            catch (IOException) when (File.Exists(path))
            {
                // Another worker was first; its manifest is held against this one's settings below.
            }
            finally
            {
                File.Delete(partial);
            }
        }

        JobManifest manifest = Read(folder);
        if (new FileInfo(input).Length is var length && length != manifest.InputBytes)
        {
            throw new InvalidDataException($"{path} is of an input of {manifest.InputBytes:N0} bytes ({manifest.InputName}), and {input} has {length:N0}: another input, or it has changed. Give the one that the job began with, or another output folder");
        }

        if (manifest.Shards.Count != shards)
        {
            throw new InvalidDataException($"{path} divides the input into {manifest.Shards.Count} shards, and this worker was told of {shards}: give it --shard i/{manifest.Shards.Count}, or another output folder");
        }

        for (int i = 0; i < Math.Max(settings.Count, manifest.Settings.Count); i++)
        {
            (string? before, string? now) = (manifest.Settings.ElementAtOrDefault(i), settings.ElementAtOrDefault(i));
            if (before != now)
            {
                throw new InvalidDataException($"{path} is of a job with '{before ?? "nothing"}', and this worker has '{now ?? "nothing"}': all workers of a job need the same settings; give these, or another output folder");
            }
        }

        return manifest;
    }

    /// <summary>Reads the job of a folder.</summary>
    /// <exception cref="InvalidDataException">There is none, or it is malformed.</exception>
    public static JobManifest Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            throw new InvalidDataException($"{folder} has no {FileName}: expected the output folder of longcat score with shards");
        }

        JobManifest manifest;
        try
        {
            manifest = JsonSerializer.Deserialize<JobManifest>(File.ReadAllBytes(path), s_json) ?? throw new InvalidDataException($"{path} holds null, expected a job");
        }
        catch (JsonException problem)
        {
            throw new InvalidDataException($"{path} cannot be read: {problem.Message}", problem);
        }

        if (manifest.FormatVersion != CurrentVersion)
        {
            throw new InvalidDataException($"{path} has format {manifest.FormatVersion}, expected {CurrentVersion}: use the version that wrote it");
        }

        long at = 0, line = 1;
        foreach (Shard shard in manifest.Shards)
        {
            if (shard.FirstByte != at || shard.EndByte < at || shard.FirstLine != line || shard.Rows < 0 || shard.Rows > shard.Lines)
            {
                throw new InvalidDataException($"{path}: the shards do not follow one another (bytes {shard.FirstByte}..{shard.EndByte}, line {shard.FirstLine}); it was changed");
            }

            (at, line) = (shard.EndByte, shard.FirstLine + shard.Lines);
        }

        return manifest.Shards.Count > 0 && at == manifest.InputBytes ? manifest : throw new InvalidDataException($"{path}: the shards end at byte {at} of {manifest.InputBytes}; it was changed");
    }
}
