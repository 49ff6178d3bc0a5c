using System.Globalization;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// The n-gram embedding of LongCat-Flash-Lite (arXiv 2601.21204, section 3): for every order n from 2 to <see cref="NeighborNum"/>,
/// <see cref="SplitNum"/> hash tables of slightly different sizes, each with a projection to the hidden size.
/// </summary>
public sealed record NGramConfig
{
    /// <summary>V: the vocabulary size used by the hash (<c>vocab_size</c>).</summary>
    public required int HashVocabSize { get; init; }

    /// <summary>Rows of a table over V (<c>ngram_vocab_size_ratio</c>, <c>oe_vocab_size_ratio</c>); may be fractional.</summary>
    public required double VocabSizeRatio { get; init; }

    /// <summary>N: the longest n-gram (<c>emb_neighbor_num</c>, <c>oe_neighbor_num</c>), at least 2.</summary>
    public required int NeighborNum { get; init; }

    /// <summary>K: tables per order (<c>emb_split_num</c>, <c>oe_split_num</c>), at least 1.</summary>
    public required int SplitNum { get; init; }

    /// <summary>The width of one table row: hidden_size / <see cref="TableCount"/>.</summary>
    public required int TableWidth { get; init; }

    /// <summary>How the tensors are spelled: as the keys suggest, corrected by the tensors when a checkpoint is opened.</summary>
    public NGramTensorNaming Naming { get; init; }

    /// <summary>K·(N-1) tables: order 2 first, then splits.</summary>
    public int TableCount => SplitNum * (NeighborNum - 1);

    /// <summary>The rows of every table, which are also the moduli of the hash: int(ratio·V) + 2i + 1.</summary>
    public IReadOnlyList<long> TableRows
    {
        get
        {
            long baseRows = (long)(VocabSizeRatio * HashVocabSize);
            long[] rows = new long[TableCount];
            for (int i = 0; i < rows.Length; i++)
            {
                rows[i] = baseRows + (2 * i) + 1;
            }

            return rows;
        }
    }

    /// <summary>The name of table <paramref name="i"/>.</summary>
    /// <param name="i">Index from 0 to <see cref="TableCount"/> - 1.</param>
    /// <returns>The tensor's name; its shape is [TableRows[i], TableWidth].</returns>
    public string TableName(int i) => Naming == NGramTensorNaming.NGramEmbeddings
        ? string.Create(CultureInfo.InvariantCulture, $"model.ngram_embeddings.embedders.{i}.weight")
        : string.Create(CultureInfo.InvariantCulture, $"model.oe_embed_tokens{i}.weight");

    /// <summary>The name of the projection of table <paramref name="i"/>.</summary>
    /// <param name="i">Index from 0 to <see cref="TableCount"/> - 1.</param>
    /// <returns>The tensor's name; its shape is [hidden_size, TableWidth].</returns>
    public string ProjectionName(int i) => Naming == NGramTensorNaming.NGramEmbeddings
        ? string.Create(CultureInfo.InvariantCulture, $"model.ngram_embeddings.post_projs.{i}.weight")
        : string.Create(CultureInfo.InvariantCulture, $"model.oe_embed_proj{i}.weight");

    internal static bool IsPresent(ConfigReader config) => config.Has("ngram_vocab_size_ratio") || config.Has("oe_vocab_size_ratio");

    internal static NGramConfig Read(ConfigReader config, int vocabSize, int hiddenSize)
    {
        foreach (string key in (ReadOnlySpan<string>)["oe_ignored_token_ids", "ignored_token_ids"])
        {
            if (config.IsSet(key))
            {
                throw config.Refuse(key, "set", "no ignored ids: n-gram embeddings with ignored tokens (LongCat-Next) are not supported");
            }
        }

        string ratioKey = config.Spelling("ngram_vocab_size_ratio", "oe_vocab_size_ratio");
        string neighborKey = config.Spelling("emb_neighbor_num", "oe_neighbor_num");
        string splitKey = config.Spelling("emb_split_num", "oe_split_num");
        int neighbors = config.Int(neighborKey, 2, 16);
        int splits = config.Int(splitKey, 1, 64);
        double ratio = config.Number(ratioKey, 1.0 / vocabSize, 1e5);
        int tables = splits * (neighbors - 1);
        if (hiddenSize % tables != 0)
        {
            throw config.Refuse("hidden_size", hiddenSize.ToString(CultureInfo.InvariantCulture),
                $"a multiple of {tables}, the number of n-gram tables ({splitKey} {splits} × ({neighborKey} {neighbors} - 1))");
        }

        return new NGramConfig
        {
            HashVocabSize = vocabSize,
            VocabSizeRatio = ratio,
            NeighborNum = neighbors,
            SplitNum = splits,
            TableWidth = hiddenSize / tables,
            Naming = ratioKey == "oe_vocab_size_ratio" ? NGramTensorNaming.OverEncoding : NGramTensorNaming.NGramEmbeddings,
        };
    }
}
