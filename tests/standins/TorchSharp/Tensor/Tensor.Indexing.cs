using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>One index of <c>t[…]</c>.</summary>
    public struct TensorIndex
    {
        internal enum Kind
        {
            Newaxis,
            Single,
            Ellipsis,
            Bool,
            Tensor,
            Slice,
        }

        internal long? Start;
        internal long? Stop;
        internal long? Step;
        internal Kind IndexKind;
        internal Tensor? Value;

        public static TensorIndex Ellipsis = new() { IndexKind = Kind.Ellipsis };
        public static TensorIndex None = new() { IndexKind = Kind.Newaxis };
        public static TensorIndex Null = new() { IndexKind = Kind.Newaxis };
        public static TensorIndex Colon = Slice();

        public static TensorIndex Slice(long? start = null, long? stop = null, long? step = null) => new() { Start = start, Stop = stop, Step = step, IndexKind = Kind.Slice };

        public static TensorIndex Slice((int? start, int? end) range) => Slice(range.start, range.end);

        public static TensorIndex Slice(Range range) => Slice(
            range.Start.IsFromEnd ? -range.Start.Value : range.Start.Value,
            range.End.IsFromEnd ? (range.End.Value == 0 ? null : -range.End.Value) : range.End.Value);

        public static TensorIndex Bool(bool value) => new() { Start = value ? 1 : 0, IndexKind = Kind.Bool };

        public static TensorIndex Single(long? index) => new() { Start = index, IndexKind = Kind.Single };

        public static TensorIndex Tensor(Tensor tensor) => new() { Value = tensor, IndexKind = Kind.Tensor };

        public static implicit operator TensorIndex(long value) => Single(value);

        public static implicit operator TensorIndex((int? start, int? end) range) => Slice(range.start, range.end);

        public static implicit operator TensorIndex(Range range) => Slice(range);

        public static implicit operator TensorIndex(Index index) => Single(index.IsFromEnd ? -index.Value : index.Value);
    }

    public partial class Tensor
    {
        public Tensor this[params TensorIndex[] indices]
        {
            get => index(indices);
            set => index_put_(value, indices);
        }

        public Tensor this[params Tensor[] indices]
        {
            get => index(indices);
            set => index_put_(value, indices);
        }

        public Tensor this[long i1]
        {
            get => select(0, i1);
            set => Put(select(0, i1), value);
        }

        public Tensor this[long i1, long i2]
        {
            get => this[new TensorIndex[] { i1, i2 }];
            set => this[new TensorIndex[] { i1, i2 }] = value;
        }

        public Tensor this[long i1, long i2, long i3]
        {
            get => this[new TensorIndex[] { i1, i2, i3 }];
            set => this[new TensorIndex[] { i1, i2, i3 }] = value;
        }

        public Tensor this[long i1, long i2, long i3, long i4]
        {
            get => this[new TensorIndex[] { i1, i2, i3, i4 }];
            set => this[new TensorIndex[] { i1, i2, i3, i4 }] = value;
        }

        public Tensor index(params TensorIndex[] indices)
        {
            Tensor view = Basic(indices, out Tensor?[]? advanced);
            if (advanced is null)
            {
                return view;
            }

            Tensor result = Ops.index__Tensor.Call(view, Arg.Optional(advanced));
            view.Dispose();
            return result;
        }

        public Tensor index(params Tensor[] indices) => Ops.index__Tensor.Call(this, Arg.Optional(indices));

        public Tensor index_put_(Tensor value, params TensorIndex[] indices) => index_put_(value, indices, accumulate: false);

        public Tensor index_put_(Tensor value, TensorIndex[] indices, bool accumulate = false)
        {
            Tensor view = Basic(indices, out Tensor?[]? advanced);
            if (advanced is null)
            {
                _ = accumulate ? view.add_(value) : view.copy_(value);
            }
            else
            {
                Ops.index_put_.InPlace(view, Arg.Optional(advanced), value, accumulate);
            }

            view.Dispose();
            return this;
        }

        public Tensor index_put_(Tensor value, params Tensor[] indices) => Ops.index_put_.InPlace(this, Arg.Optional(indices), value);

        public Tensor index_put_(Tensor value, Tensor[] indices, bool accumulate = false) => Ops.index_put_.InPlace(this, Arg.Optional(indices), value, accumulate);

        public Tensor index_put_(Scalar value, params TensorIndex[] indices)
        {
            using Tensor number = torch.full([], value, dtype);
            return index_put_(number, indices);
        }

        private static void Put(Tensor view, Tensor value)
        {
            view.copy_(value);
            view.Dispose();
        }

        /// <summary>Applies everything that gives a view; index tensors are left over, at the dimensions of that view.</summary>
        private Tensor Basic(TensorIndex[] indices, out Tensor?[]? advanced)
        {
            advanced = null;
            int consumed = indices.Count(i => i.IndexKind is TensorIndex.Kind.Single or TensorIndex.Kind.Slice)
                + indices.Sum(i => i.IndexKind == TensorIndex.Kind.Tensor ? (i.Value!.dtype == ScalarType.Bool ? (int)i.Value.ndim : 1) : 0);
            Tensor view = alias();
            long dim = 0;
            foreach (TensorIndex index in indices)
            {
                Tensor before = view;
                switch (index.IndexKind)
                {
                    case TensorIndex.Kind.Single:
                        view = before.select(dim, index.Start ?? 0);
                        break;
                    case TensorIndex.Kind.Slice:
                        view = index is { Start: null, Stop: null, Step: null } ? before : Ops.slice__Tensor.Call(before, dim, index.Start, index.Stop, index.Step ?? 1);
                        dim++;
                        break;
                    case TensorIndex.Kind.Newaxis:
                        view = before.unsqueeze(dim++);
                        break;
                    case TensorIndex.Kind.Ellipsis:
                        dim += ndim - consumed;
                        break;
                    case TensorIndex.Kind.Bool:
                        view = before.unsqueeze(dim);
                        Advanced(ref advanced, dim++, torch.tensor(new[] { index.Start == 1 }));
                        break;
                    default:
                        Advanced(ref advanced, dim, index.Value!);
                        dim += index.Value!.dtype == ScalarType.Bool ? index.Value.ndim : 1;
                        break;
                }

                if (!ReferenceEquals(before, view))
                {
                    before.Dispose();
                }
            }

            return view;
        }

        private static void Advanced(ref Tensor?[]? list, long dim, Tensor index)
        {
            // A mask of several dimensions stands for as many index entries, so the next entry follows directly after it.
            int at = list is null ? (int)dim : (int)dim - (list.Sum(t => t is { } m && m.dtype == ScalarType.Bool ? (int)m.ndim - 1 : 0));
            Array.Resize(ref list, at + 1);
            list[at] = index;
        }
    }
}
