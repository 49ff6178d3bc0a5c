using Microsoft.ML.Data;

namespace Microsoft.ML.Rows;

/// <summary>Fills objects of a row class from a row.</summary>
internal static class RowWriter
{
    /// <summary>The columns of <paramref name="schema"/> that the members of <typeparamref name="TRow"/> name.</summary>
    public static (RowMember Member, DataViewSchema.Column Column)[] Match<TRow>(DataViewSchema schema, bool ignoreMissing, SchemaDefinition definition)
    {
        var matches = new List<(RowMember, DataViewSchema.Column)>();
        foreach (RowMember member in RowMember.Of(typeof(TRow), definition, SchemaDefinition.Direction.Write))
        {
            string name = member.Column.ColumnName;
            if (schema.GetColumnOrNull(name) is not { } column)
            {
                if (!ignoreMissing)
                {
                    throw new ArgumentOutOfRangeException(nameof(schema), $"Could not find column '{name}'");
                }

                continue;
            }

            if (column.Type.RawType != member.Column.ColumnType.RawType)
            {
                throw new InvalidOperationException($"Can't bind the column '{name}' of type '{column.Type}' to a member of type '{member.Column.ColumnType}'");
            }

            matches.Add((member, column));
        }

        return [.. matches];
    }

    public static Action<TRow>[] Setters<TRow>(DataViewRow row, bool ignoreMissing, SchemaDefinition definition) =>
        [.. Match<TRow>(row.Schema, ignoreMissing, definition).Select(match => match.Member.Setter<TRow>(row, match.Column))];

    public static IEnumerable<TRow> Enumerate<TRow>(IDataView data, bool reuse, bool ignoreMissing, SchemaDefinition definition)
        where TRow : class, new()
    {
        (RowMember Member, DataViewSchema.Column Column)[] matches = Match<TRow>(data.Schema, ignoreMissing, definition);
        return Rows();

        IEnumerable<TRow> Rows()
        {
            using DataViewRowCursor cursor = data.GetRowCursor(matches.Select(match => match.Column));
            Action<TRow>[] setters = [.. matches.Select(match => match.Member.Setter<TRow>(cursor, match.Column))];
            TRow row = null;
            while (cursor.MoveNext())
            {
                row = reuse && row is not null ? row : new TRow();
                foreach (Action<TRow> setter in setters)
                {
                    setter(row);
                }

                yield return row;
            }
        }
    }
}
