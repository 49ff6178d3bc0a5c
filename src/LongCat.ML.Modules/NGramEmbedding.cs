using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The n-gram embedding (LongCat-Flash-Lite, 2601.21204): <c>(E_word[x_t] + Σ_i P_i · Emb_i[id_i(t)]) / (1 + K·(N-1))</c>.
/// </summary>
/// <remarks>
/// State: <c>embedders.{i}.weight</c> [rows_i, d], <c>post_projs.{i}.weight</c> [hidden, d]. Differentiable in tables, projections and word vectors.
/// The projections are applied as one product of the joined table rows with the joined matrices.
/// </remarks>
public sealed class NGramEmbedding : nn.Module
{
    private readonly ModuleList<Embedding> embedders;
    private readonly ModuleList<Projection> post_projs;
    private readonly NGramHash _hash;
    private readonly TokenTable[] _tables;

    /// <summary>Creates the embedding.</summary>
    /// <param name="config">The model's settings; <c>NGram</c> must be present.</param>
    /// <exception cref="ArgumentException">The model has no n-gram embedding.</exception>
    public NGramEmbedding(LongcatFlashConfig config)
        : base(nameof(NGramEmbedding))
    {
        var ngram = config.NGram ?? throw new ArgumentException("the config has no n-gram embedding (ngram_vocab_size_ratio, emb_neighbor_num, emb_split_num)", nameof(config));
        _hash = new NGramHash(ngram.HashVocabSize, ngram.NeighborNum, ngram.SplitNum, ngram.TableRows, config.EosTokenIds.Count > 0 ? config.EosTokenIds[0] : -1);
        int tables = _hash.Tables;
        long width = ngram.TableWidth;
        var lookups = new Embedding[tables];
        var projections = new Projection[tables];
        for (int i = 0; i < tables; i++)
        {
            lookups[i] = TokenTable.Create(_hash.TableRows[i], width);
            projections[i] = new Projection(width, config.HiddenSize, hasBias: false, ProjectionPrecision.Half);
        }

        embedders = new ModuleList<Embedding>(lookups);
        post_projs = new ModuleList<Projection>(projections);
        _tables = [.. lookups.Select((lookup, i) => new TokenTable($"model.ngram_embeddings.embedders.{i}", lookup))];
        RegisterComponents();
    }

    /// <summary>The hash of this model.</summary>
    public NGramHash Hash => _hash;

    /// <summary>The tables as the stack reads them.</summary>
    internal IReadOnlyList<TokenTable> Tables => _tables;

    /// <summary>The table ids of every token.</summary>
    /// <param name="batch">The tokens.</param>
    /// <returns>[tables, B·S] row-major.</returns>
    public long[] TableIds(SequenceBatch batch)
    {
        var ids = new long[_hash.Tables * batch.Tokens];
        for (int row = 0; row < batch.Rows; row++)
        {
            int offset = row * batch.Columns;
            _hash.Compute(batch.InputIds.AsSpan(offset, batch.Columns), batch.DocumentStart.AsSpan(offset, batch.Columns), ids, batch.Tokens, offset);
        }

        return ids;
    }

    /// <summary>Fuses word vectors and n-gram vectors.</summary>
    /// <param name="words">[B·S, hidden].</param>
    /// <param name="batch">The tokens.</param>
    /// <returns>[B·S, hidden], owned by the caller's dispose scope.</returns>
    internal Tensor Forward(Tensor words, SequenceBatch batch)
    {
        using var scope = NewDisposeScope();
        var ids = tensor(TableIds(batch), [_hash.Tables, batch.Tokens], device: words.device);
        Tensor[] rows = [.. _tables.Select((table, i) => table.Rows(ids.select(0, i)))];
        Tensor projected;
        if (post_projs.All(projection => projection.IsPlain && projection.Adapter?.Magnitude is null))
        {
            projected = nn.functional.linear(cat(rows, 1), cat([.. post_projs.Select(projection => (Tensor)projection.Weight!)], 1));
            for (int i = 0; i < rows.Length; i++)
            {
                projected = post_projs[i].Adapter is { } adapter ? adapter.AddChange(projected, rows[i]) : projected;
            }
        }
        else
        {
            projected = post_projs[0].forward(rows[0]);
            for (int i = 1; i < rows.Length; i++)
            {
                projected = projected.add(post_projs[i].forward(rows[i]));
            }
        }

        return words.add(projected).mul(1f / (1 + rows.Length)).MoveToOuterDisposeScope();
    }
}
