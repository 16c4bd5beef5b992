!> Flux of potential vorticity: energy and enstrophy conserving scheme on triads (EEN).
module dynvor
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0
   use dom_oce, only: e1u, e2v, ff_f, fmask, r1_e1e2f, r1_e1u, r1_e2v
   use oce, only: uu, vv, e3f, uflx, vflx
   implicit none
   private
   public :: dyn_vor, vor_f

   real(wp), allocatable :: zpv(:, :)   ! potential vorticity at F points [m-1 s-1]

contains

   !> Add the vorticity flux q (h v), -q (h u), with q = (f + zeta) / h at corners, averaged over the twelve triads.
   !! All layers have one coast.
   !! Source: Arakawa & Hsu (1990), as described in the NEMO reference manual.
   subroutine dyn_vor(Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2    !< rows
      integer :: jk
      if (.not. allocated(zpv)) allocate (zpv(jpi, jpj))
      do jk = 1, jpk
         call potvor(jpi*(kj1 - 2), jpi*(kj2 + 1), uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), e1u, e2v, r1_e1e2f, fmask(:, :, 1), &
         &           ff_f, e3f(:, :, jk), zpv)
         call fluxes(kj1, kj2, uflx(:, :, jk), vflx(:, :, jk), zpv, r1_e1u, r1_e2v, uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_vor

   pure subroutine potvor(k0, k1, pu, pv, pe1u, pe2v, pr1f, pfm, pff, pe3f, ppv)
      integer, intent(in) :: k0, k1   ! points before the first row, points up to the last one
      real(wp), intent(in), dimension(jpi*jpj) :: pu, pv, pe1u, pe2v, pr1f, pfm, pff, pe3f
      real(wp), intent(inout), dimension(k0 + 1:k1) :: ppv
      integer :: jn
      do jn = k0 + 1, k1
         ppv(jn) = (pff(jn) + ((pe2v(jn + 1)*pv(jn + 1) - pe2v(jn)*pv(jn)) - (pe1u(jn + jpi)*pu(jn + jpi) - pe1u(jn)*pu(jn))) &
         &                    *pr1f(jn)*pfm(jn))/pe3f(jn)
      end do
   end subroutine potvor

   !> The triad at the north-east of a cell is the sum of q over its corners NW, NE and SE; and so on round the cell.
   !! The u face takes NE and SE of the cell to its west, NW and SW of the cell to its east; the v face likewise.
   pure subroutine fluxes(kj1, kj2, puf, pvf, pq, pr1u, pr1v, pru, prv)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, jpj) :: puf, pvf, pr1u, pr1v
      real(wp), intent(in), dimension(jpi, kj1 - 1:kj2 + 1) :: pq
      real(wp), intent(inout), dimension(jpi, jpj) :: pru, prv
      real(wp), parameter :: r1_12 = 1._wp/12._wp
      real(wp) :: zne, znw, zse, zsw, zcol, zrow
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            zcol = pq(ji, jj) + pq(ji, jj - 1)      ! the two corners of the u face
            zne = zcol + pq(ji - 1, jj)
            zse = zcol + pq(ji - 1, jj - 1)
            znw = zcol + pq(ji + 1, jj)
            zsw = zcol + pq(ji + 1, jj - 1)
            pru(ji, jj) = pru(ji, jj) + (r1_12*pr1u(ji, jj)) &
            &   *((zne*pvf(ji, jj) + znw*pvf(ji + 1, jj)) + (zse*pvf(ji, jj - 1) + zsw*pvf(ji + 1, jj - 1)))
            zrow = pq(ji, jj) + pq(ji - 1, jj)      ! the two corners of the v face
            zne = zrow + pq(ji, jj - 1)
            znw = zrow + pq(ji - 1, jj - 1)
            zse = zrow + pq(ji, jj + 1)
            zsw = zrow + pq(ji - 1, jj + 1)
            prv(ji, jj) = prv(ji, jj) - (r1_12*pr1v(ji, jj)) &
            &   *((zsw*puf(ji - 1, jj + 1) + zse*puf(ji, jj + 1)) + (znw*puf(ji - 1, jj) + zne*puf(ji, jj)))
         end do
      end do
   end subroutine fluxes

   !> Relative vorticity of layer 1 at F points [s-1], with the slip of the walls; for output.
   subroutine vor_f(pu, pv, pvor)
      real(wp), intent(in) :: pu(:, :), pv(:, :)   !< velocity (jpi, jpj) [m s-1]; the first halo column and row are used
      real(wp), intent(inout) :: pvor(:, :)        !< (jpi, jpj); set on the interior
      integer :: ji, jj
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            pvor(ji, jj) = ((e2v(ji + 1, jj)*pv(ji + 1, jj) - e2v(ji, jj)*pv(ji, jj)) &
            &             - (e1u(ji, jj + 1)*pu(ji, jj + 1) - e1u(ji, jj)*pu(ji, jj)))*r1_e1e2f(ji, jj)*fmask(ji, jj, 1)
         end do
      end do
   end subroutine vor_f
end module dynvor
