using System.Security.Cryptography;
using System.Text;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Calibration;

/// <summary>Makes token sequences of calibration data with the tokenizer of the checkpoint.</summary>
internal static class CalibrationSampler
{
    /// <summary>Draws the samples. The same data, checkpoint and seed give the same sequences.</summary>
    /// <param name="data">The data.</param>
    /// <param name="checkpointFolder">The checkpoint's folder, with its tokenizer.json.</param>
    /// <param name="config">Its configuration.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="cancellationToken">Ends it between two rows.</param>
    /// <exception cref="CheckpointException">Rows of text need a tokenizer and the folder has none, or it cannot be used.</exception>
    /// <exception cref="InvalidDataException">No row is usable: the message has the counts and the first reason.</exception>
    public static (IReadOnlyList<IReadOnlyList<int>> Sequences, CalibrationSummary Summary) Draw(
        CalibrationData data, string checkpointFolder, ModelConfig config, ulong seed, CancellationToken cancellationToken)
    {
        int longest = Math.Min(data.SampleTokens, config.MaxPositions);
        return data.DataFree ? Random(data.Samples, longest, checkpointFolder, config, seed) : Rows(data, longest, checkpointFolder, config, seed, cancellationToken);
    }

    private static (IReadOnlyList<IReadOnlyList<int>> Sequences, CalibrationSummary Summary) Rows(
        CalibrationData data, int longest, string checkpointFolder, ModelConfig config, ulong seed, CancellationToken cancellationToken)
    {
        string path = Path.Combine(checkpointFolder, "tokenizer.json");
        if (!File.Exists(path))
        {
            throw new CheckpointException(path, "the file is missing, and rows of text are tokenized with it. Calibrate with random tokens (data-free) or add the file.");
        }

        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(path);
        SeededDraws draws = new(seed);
        List<(long Row, int[] Ids, bool Cut)> kept = [];
        HashSet<UInt128> seen = [];
        long rows = 0, distinct = 0, duplicates = 0, unusable = 0;
        string? first = null;
        foreach (CalibrationRow row in data.Read(cancellationToken))
        {
            cancellationToken.ThrowIfCancellationRequested();
            long number = rows++;
            if (row.Problem is not null || string.IsNullOrWhiteSpace(row.Text))
            {
                unusable++;
                first ??= row.Problem ?? $"{data.Source}, row {number + 1}: there is no text";
                continue;
            }

            if (!seen.Add(Fingerprint(row.Text)))
            {
                duplicates++;
                continue;
            }

            // Reservoir sampling (Vitter 1985, algorithm R): every row stays with the same chance, and only rows that stay are tokenized.
            long place = distinct++;
            if (place >= data.Samples)
            {
                place = draws.Next(distinct);
                if (place >= data.Samples)
                {
                    continue;
                }
            }

            if (Encode(tokenizer, row.Text, config, out string? problem) is not { } ids)
            {
                distinct--;
                unusable++;
                first ??= $"{data.Source}, row {number + 1}: {problem}";
                continue;
            }

            (long, int[], bool) sample = (number, ids.Length > longest ? ids[..longest] : ids, ids.Length > longest);
            if (place < kept.Count)
            {
                kept[(int)place] = sample;
            }
            else
            {
                kept.Add(sample);
            }
        }

        if (kept.Count == 0)
        {
            throw new InvalidDataException(
                rows == 0
                    ? $"{data.Source}: there is no row to calibrate with."
                    : $"{data.Source}: none of {rows} rows can be used to calibrate. The first: {first}.");
        }

        kept.Sort((left, right) => left.Row.CompareTo(right.Row));
        return (
            [.. kept.Select(sample => sample.Ids)],
            new CalibrationSummary
            {
                Rows = rows,
                Samples = kept.Count,
                Tokens = kept.Sum(sample => (long)sample.Ids.Length),
                Cut = kept.Count(sample => sample.Cut),
                Duplicates = duplicates,
                Unusable = unusable,
                FirstUnusable = first,
            });
    }

    private static int[]? Encode(HuggingFaceTokenizer tokenizer, string text, ModelConfig config, out string? problem)
    {
        try
        {
            int[] ids = [.. tokenizer.Encode(text)];
            int outside = Array.FindIndex(ids, id => id >= config.VocabSize);
            problem = ids.Length == 0 ? "its text has no token" : outside < 0 ? null : $"the token id {ids[outside]} is outside the model's vocabulary of {config.VocabSize}";
            return problem is null ? ids : null;
        }
        catch (CheckpointException exception)
        {
            problem = exception.Message;
            return null;
        }
    }

    private static (IReadOnlyList<IReadOnlyList<int>> Sequences, CalibrationSummary Summary) Random(
        int samples, int longest, string checkpointFolder, ModelConfig config, ulong seed)
    {
        string path = Path.Combine(checkpointFolder, "tokenizer.json");
        HuggingFaceTokenizer? tokenizer = File.Exists(path) ? HuggingFaceTokenizer.Load(path) : null;

        // Rows of the embedding behind the tokenizer's last token are padding, special tokens are not text.
        int[] vocabulary = [.. Enumerable.Range(0, Math.Min(config.VocabSize, tokenizer?.VocabularySize ?? config.VocabSize))
            .Where(id => id != config.BosTokenId && !config.EosTokenIds.Contains(id) && tokenizer?.IsSpecial(id) != true)];
        if (vocabulary.Length == 0)
        {
            throw new InvalidDataException($"{checkpointFolder}: the vocabulary of {config.VocabSize} tokens has special ones only; calibrate with rows of text.");
        }

        SeededDraws draws = new(seed);
        int[][] sequences = new int[samples][];
        for (int i = 0; i < samples; i++)
        {
            sequences[i] = new int[longest];
            for (int position = 0; position < longest; position++)
            {
                sequences[i][position] = position == 0 && longest > 1 && config.BosTokenId is { } bos ? bos : vocabulary[draws.Next(vocabulary.Length)];
            }
        }

        return (sequences, new CalibrationSummary { Samples = samples, Tokens = (long)samples * longest, DataFree = true });
    }

    /// <summary>Half of the text's SHA-256: equal texts have it equal, and a file of many rows need not stay in memory to tell.</summary>
    private static UInt128 Fingerprint(string text)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(text), hash);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128LittleEndian(hash);
    }
}
